// How fast a folder of pictures is read, decoded, cropped and resized, in pictures per second of CPU time. On one
// thread (OMP_NUM_THREADS=1) it is comparable to bench/peers/pillow_read_pictures.py, which measures Pillow.
#include <fmt/format.h>

#include <cstdlib>
#include <ctime>

#include "apps/console/program.h"
#include "data/decode_picture.h"
#include "data/registry.h"
#include "kernels/core/error.h"

int main(int argc, char** argv) {
  return poise::run_program("pictures_bench", [&] {
    if (argc != 3) poise::fail(poise::ErrorKind::usage, "expected FOLDER SIZE, as: pictures_bench pictures 64");
    const std::clock_t start = std::clock();
    const poise::ImageSet set = poise::read_images("folder", argv[1], {.image_size = std::atoll(argv[2])});
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    poise::print_result(fmt::format("{} pictures to {}x{} in {:.2f} s of CPU time by {}: {:.0f} per second\n",
                                    set.count, set.height, set.width, seconds, poise::picture_decoders(),
                                    static_cast<double>(set.count) / seconds));
    return 0;
  });
}
