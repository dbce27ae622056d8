// Pictures of masks, with separate colours for alive, grown and dropped cells.
#include "apps/report/mask_images.h"

#include <gtest/gtest.h>

#include "engine/io/checkpoint.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

TEST(MaskImages, ColoursSayWhatChanged) {
  constexpr int64_t kSide = MaskImages::kSide;
  const test::TemporaryFolder folder;
  CheckpointStore store(folder / "checkpoints", 10);
  // 2 x 2 cells: kept, dropped; grown, dead.
  const uint8_t before[] = {1, 1, 0, 0}, after[] = {1, 0, 1, 0};
  for (const auto& [step, mask] : {std::pair{int64_t{3}, before}, {int64_t{5}, after}}) {
    const TensorBytes tensors[] = {{"G.mask.layer.weight", DType::u8, {2, 2}, mask}};
    store.save(step, tensors, {});
  }
  const MaskImages images = mask_images(folder.path(), "");
  EXPECT_EQ(images.iterations, (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(images.layers, (std::vector<std::string>{"G.layer"}));
  EXPECT_EQ(images.densities, (std::vector<double>{0.5, 0.5}));
  ASSERT_EQ(images.pixels.size(), static_cast<size_t>(2 * kSide * kSide * 3));
  const auto colour = [&](int64_t column, int64_t y, int64_t x) {
    const uint8_t* pixel = images.pixels.data() + ((column * kSide + y) * kSide + x) * 3;
    return std::vector<int>{pixel[0], pixel[1], pixel[2]};
  };
  const std::vector<int> white = {255, 255, 255}, black = {0, 0, 0}, red = {255, 0, 0}, green = {0, 255, 0};
  EXPECT_EQ(colour(0, 0, 0), white);
  EXPECT_EQ(colour(0, 0, kSide - 1), white);
  EXPECT_EQ(colour(0, kSide - 1, 0), black);
  EXPECT_EQ(colour(1, 0, 0), white);
  EXPECT_EQ(colour(1, 0, kSide - 1), red);
  EXPECT_EQ(colour(1, kSide - 1, 0), green);
  EXPECT_EQ(colour(1, kSide - 1, kSide - 1), black);
  test::expect_error(ErrorKind::checkpoint, {"no masks of D"}, [&] { mask_images(folder.path(), "D"); });
  test::expect_error(ErrorKind::checkpoint, {"has no checkpoint"}, [&] { mask_images(folder / "nowhere", ""); });
}

}  // namespace
}  // namespace poise
