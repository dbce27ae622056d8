// No byte of a picture comes from uninitialised memory. Hostile files are decoded twice, with the heap and the stack
// filled with different patterns, and must give the same pixels or the same error.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>

#include "data/decode_picture.h"
#include "data/picture_header.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/fuzzing.h"

namespace poise {
namespace {

[[gnu::noinline]] void fill_stack(int pattern) {
  volatile unsigned char below[64 << 10];
  for (volatile unsigned char& byte : below) byte = static_cast<unsigned char>(pattern);
}

struct Outcome {
  std::vector<uint8_t> rgb;
  std::string refusal;
  bool operator==(const Outcome&) const = default;
};

Outcome decode_with(int pattern, const std::vector<uint8_t>& bytes) {
  ::mallopt(M_PERTURB, pattern);
  fill_stack(pattern);
  Outcome outcome;
  try {
    outcome.rgb = decode_picture(bytes).rgb;
  } catch (const std::runtime_error& error) {
    outcome.refusal = error.what();
  }
  ::mallopt(M_PERTURB, 0);
  return outcome;
}

std::vector<std::string> golden_pictures() {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(POISE_GOLDEN_DIR) + "/pictures")) {
    all.push_back(test::read_bytes(entry.path().string()));
  }
  std::sort(all.begin(), all.end());
  return all;
}

// A BMP with 256 colours whose palette only contains the first `kept`.
std::string with_short_palette(std::string bmp, uint32_t kept) {
  constexpr uint32_t kPalette = 54, kColours = 256;
  const uint32_t pixels = kPalette + 4 * kept;
  bmp.erase(pixels, 4 * (kColours - kept));
  bmp.replace(10, 4, reinterpret_cast<const char*>(&pixels), 4);
  return bmp;
}

TEST(PictureMemory, PixelsDependOnTheBytesAlone) {
  std::vector<std::string> seeds = golden_pictures();
  const std::string palette = test::read_bytes(std::string(POISE_GOLDEN_DIR) + "/pictures/palette.bmp");
  for (const uint32_t kept : {1u, 16u, 200u}) seeds.push_back(with_short_palette(palette, kept));
  test::Xorshift random(0x5eed9);
  int decoded = 0, refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string input = i < static_cast<int>(seeds.size())
                            ? seeds[static_cast<size_t>(i)]
                            : test::mutate(seeds[random.below(seeds.size())], seeds, random);
    if (input.starts_with("\x89PNG")) test::repair_png(input);
    if (input.starts_with("\xff\xd8") && i % 2 == 0) input += "\xff\xd9";
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    try {
      const PictureHeader header = read_picture_header(bytes);
      if (header.height * header.width > (int64_t{1} << 16)) continue;
    } catch (const std::runtime_error&) {
      continue;
    }
    const Outcome one = decode_with(0x55, bytes), other = decode_with(0xaa, bytes);
    ASSERT_EQ(one, other) << "input " << i;
    ++(one.refusal.empty() ? decoded : refused);
  }
  EXPECT_GT(decoded, 2'000);
  EXPECT_GT(refused, 100);
  std::printf("decoded %d, refused %d\n", decoded, refused);
}

}  // namespace
}  // namespace poise
