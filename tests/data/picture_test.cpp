// Pictures: resizing compared with Pillow, decoding of all supported formats, and refusal of everything else.
#include "data/picture.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "data/decode_picture.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

const std::string kGolden = POISE_GOLDEN_DIR;

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }
std::string golden_picture(const std::string& name) { return test::read_bytes(kGolden + "/pictures/" + name); }
Picture decode(const std::string& bytes) { return decode_picture(bytes_of(bytes)); }

// The same noise as in tests/golden/make_pictures.py.
Picture noise(int64_t height, int64_t width) {
  Picture picture{.height = height, .width = width};
  auto state = static_cast<uint32_t>(height * 1000 + width);
  for (int64_t i = 0; i < height * width * 3; ++i) {
    state = state * 1664525u + 1013904223u;
    picture.rgb.push_back(static_cast<uint8_t>(state >> 24));
  }
  return picture;
}

TEST(CropAndResize, EqualsPillow) {
  const std::vector<uint8_t> expected = bytes_of(test::read_bytes(kGolden + "/resized.bin"));
  const struct {
    int64_t height, width, side;
  } cases[] = {{96, 96, 48}, {64, 64, 32}, {96, 96, 32}, {75, 101, 16}, {101, 75, 24},
               {33, 33, 48}, {7, 9, 5},    {1, 1, 4},    {300, 300, 7}};
  size_t at = 0;
  for (const auto& c : cases) {
    std::vector<uint8_t> out(static_cast<size_t>(c.side * c.side * 3));
    crop_and_resize(noise(c.height, c.width), c.side, out.data());
    ASSERT_LE(at + out.size(), expected.size());
    EXPECT_TRUE(std::equal(out.begin(), out.end(), expected.begin() + static_cast<ptrdiff_t>(at)))
        << c.height << "x" << c.width << " to " << c.side;
    at += out.size();
  }
  EXPECT_EQ(at, expected.size());
}

TEST(CropAndResize, ASquareOfThisSideIsTheCentre) {
  const Picture picture = noise(4, 7);
  std::vector<uint8_t> out(4 * 4 * 3);
  crop_and_resize(picture, 4, out.data());
  for (size_t y = 0; y < 4; ++y) {
    for (size_t j = 0; j < 12; ++j)
      EXPECT_EQ(out[y * 12 + j], picture.rgb[y * 21 + 3 + j]);  // one column cut off left, two right
  }
}

using Colour = std::array<int, 3>;

enum class Look : uint8_t { coloured, grey, smeared };  // smeared: four pixels share a colour

// Checks the picture of make_pictures.py in the middle of each quadrant and at its single black pixel.
void expect_test_picture(const std::string& name, int tolerance, Look look) {
  const Picture picture = decode(golden_picture(name));
  ASSERT_EQ(picture.height, 16) << name;
  ASSERT_EQ(picture.width, 24) << name;
  ASSERT_EQ(picture.rgb.size(), 16u * 24 * 3) << name;
  const struct {
    size_t x, y;
    Colour colour;
    int luma;
  } places[] = {{6, 4, {255, 0, 0}, 76},        {18, 4, {0, 255, 0}, 150},      {6, 12, {0, 0, 255}, 29},
                {18, 12, {255, 255, 255}, 255}, {23, 15, {255, 255, 255}, 255}, {1, 2, {0, 0, 0}, 0}};
  for (const auto& place : places) {
    if (look == Look::smeared && place.x == 1) continue;
    for (size_t c = 0; c < 3; ++c) {
      const int expected = look == Look::grey ? place.luma : place.colour[c];
      EXPECT_NEAR(picture.rgb[(place.y * 24 + place.x) * 3 + c], expected, tolerance)
          << name << " at x " << place.x << ", y " << place.y << ", channel " << c;
    }
  }
}

TEST(DecodePicture, ReadsEveryFormatUprightAndInItsColours) {
  for (const char* name : {"rgb.png", "palette.png", "rgba.png", "rgb16.png", "rgb.bmp", "palette.bmp", "rgba.bmp"}) {
    expect_test_picture(name, 0, Look::coloured);
  }
  expect_test_picture("grey.png", 0, Look::grey);
  for (const char* name : {"rgb.jpg", "progressive.jpg"})
    expect_test_picture(name, 32, Look::coloured);  // ringing around the black pixel
  expect_test_picture("subsampled.jpg", 32, Look::smeared);
  expect_test_picture("cmyk.jpg", 40, Look::coloured);
  expect_test_picture("grey.jpg", 32, Look::grey);
}

std::array<double, 3> mean_of(const Picture& picture) {
  std::array<double, 3> mean{};
  const double pixels = static_cast<double>(picture.height * picture.width);
  for (size_t i = 0; i < picture.rgb.size(); ++i) mean[i % 3] += picture.rgb[i] / pixels;
  return mean;
}

// Four components without Adobe's marker are inks as well, not YCbCr. The mean is from Pillow.
TEST(DecodePicture, InksWithoutAMarkerAreInks) {
  const std::array<double, 3> mean = mean_of(decode(golden_picture("cmyk_without_adobe_marker.jpg")));
  EXPECT_EQ(mean, (std::array{130.75, 120.125, 118.875}));
}

// The same behaviour as in libpng and Pillow.
TEST(DecodePicture, AColourBeyondThePaletteIsBlack) {
  const Picture png = decode(golden_picture("palette_too_short.png"));
  const auto black = [](const Picture& picture, size_t pixel) {
    return picture.rgb[3 * pixel] == 0 && picture.rgb[3 * pixel + 1] == 0 && picture.rgb[3 * pixel + 2] == 0;
  };
  size_t blacks = 0;
  for (size_t i = 0; i < png.rgb.size() / 3; ++i) blacks += black(png, i);
  EXPECT_GT(blacks, 0u);

  std::string bmp = golden_picture("palette.bmp");
  uint32_t pixels_at = 0;
  std::memcpy(&pixels_at, bmp.data() + 10, 4);
  ASSERT_LT((pixels_at - 54) / 4, 256u + 1);
  bmp.erase(54 + 8, pixels_at - 54 - 8);  // two colours remain
  const uint32_t now_at = 54 + 8;
  std::memcpy(bmp.data() + 10, &now_at, 4);
  std::fill(bmp.begin() + now_at, bmp.end(), '\xc8');
  bmp[now_at] = '\0';
  const Picture two = decode(bmp);
  const Picture whole = decode(golden_picture("palette.bmp"));
  EXPECT_EQ(two.rgb.size(), whole.rgb.size());
  EXPECT_TRUE(black(two, 0));  // the upper row is the last in the file
}

// Headers as written by other programs, and data that may be between header and pixels.
TEST(DecodePicture, ReadsEveryHeaderOfABmp) {
  const auto put = [](std::string& bytes, size_t at, uint32_t value) {
    bytes.replace(at, 4, reinterpret_cast<const char*>(&value), 4);
  };
  for (const char* name : {"rgb.bmp", "palette.bmp"}) {
    const std::string plain = golden_picture(name);
    const Picture expected = decode(plain);
    uint32_t pixels_at = 0;
    std::memcpy(&pixels_at, plain.data() + 10, 4);
    std::string gap = plain;
    gap.insert(pixels_at, std::string(20, 'z'));
    put(gap, 10, pixels_at + 20);
    EXPECT_EQ(decode(gap).rgb, expected.rgb) << name << " with a gap";
    for (const uint32_t header : {52u, 56u, 64u, 108u, 124u}) {
      std::string other = plain;
      other.insert(54, std::string(header - 40, '\0'));
      put(other, 10, pixels_at + header - 40);
      put(other, 14, header);
      EXPECT_EQ(decode(other).rgb, expected.rgb) << name << " with a header of " << header;
    }
  }
}

void expect_refusal(const std::string& bytes, const std::string& part);

TEST(DecodePicture, RefusesABmpWhosePixelsBeginInItsHeader) {
  for (const char* name : {"rgb.bmp", "palette.bmp"}) {
    std::string bytes = golden_picture(name);
    bytes[10] = 38, bytes[11] = 0;
    expect_refusal(bytes, "its pixels begin inside its header");
  }
}

void expect_refusal(const std::string& bytes, const std::string& part) {
  try {
    decode(bytes);
    ADD_FAILURE() << "expected a refusal: " << part;
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << part << "\n  in " << error.what();
  }
}

TEST(DecodePicture, RefusesOtherFormatsByName) {
  expect_refusal("", "found an empty file");
  expect_refusal("x", "found bytes that begin 78");
  expect_refusal(std::string(1000, '\0'), "found bytes that begin 00 00 00 00");
  expect_refusal("<!DOCTYPE html>", "found a web page");
  expect_refusal(golden_picture("animated.gif"), "found a GIF");
  expect_refusal(golden_picture("rgb.tiff"), "found a TIFF");
  expect_refusal(golden_picture("rgb.webp"), "found a WebP");
  expect_refusal(golden_picture("animated.png"), "animated PNG");
}

TEST(DecodePicture, RefusesEveryTruncation) {
  for (const char* name : {"rgb.png", "palette.png", "rgb16.png", "rgb.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg",
                           "rgb.bmp", "palette.bmp", "rgba.bmp"}) {
    const std::string whole = golden_picture(name);
    for (size_t size = 0; size < whole.size(); ++size) {
      EXPECT_THROW(decode(whole.substr(0, size)), std::runtime_error) << name << " cut to " << size;
    }
  }
}

std::string big_endian(uint32_t value) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
  return text;
}

// A PNG with other extents in the header and the correct checksum.
std::string png_of(uint32_t width, uint32_t height) {
  std::string png = golden_picture("rgb.png");
  png.replace(16, 8, big_endian(width) + big_endian(height));
  const uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(png.data()) + 12, 17);
  return png.replace(29, 4, big_endian(static_cast<uint32_t>(crc)));
}

std::string jpeg_of(uint16_t width, uint16_t height) {
  std::string jpeg = golden_picture("rgb.jpg");
  const size_t frame = jpeg.find("\xff\xc0");
  return jpeg.replace(frame + 5, 4, big_endian(static_cast<uint32_t>(height) << 16 | width));
}

std::string bmp_of(int32_t width, int32_t height) {
  std::string bmp = golden_picture("rgb.bmp");
  bmp.replace(18, 4, reinterpret_cast<const char*>(&width), 4);
  return bmp.replace(22, 4, reinterpret_cast<const char*>(&height), 4);
}

TEST(DecodePicture, RefusesExtentsBeforeItDecodes) {
  ASSERT_EQ(decode(png_of(24, 16)).height, 16);  // the header is built correctly
  ASSERT_EQ(decode(jpeg_of(24, 16)).height, 16);
  ASSERT_EQ(decode(bmp_of(24, 16)).height, 16);
  for (const uint16_t side : {0, 50000}) {
    const std::string found = "found " + std::to_string(side) + "x" + std::to_string(side);
    for (const std::string& bytes : {png_of(side, side), jpeg_of(side, side), bmp_of(side, side)}) {
      expect_refusal(bytes, found);
    }
  }
  expect_refusal(png_of(0, 16), "found 0x16");
  expect_refusal(png_of(24, 0x7fffffff), "found 24x2147483647");
  expect_refusal(png_of(32768, 32768), "at most 67108864 in total");
  expect_refusal(bmp_of(-24, 16), "found -24x16");
  expect_refusal(bmp_of(24, INT32_MIN), "found 24x2147483648");
  expect_refusal(bmp_of(24, 17), "truncated BMP");
  EXPECT_THROW(decode(png_of(24, 17)), std::runtime_error);
}

TEST(DecodePicture, RefusesTablesOfCodesThatNoDecoderHasRoomFor) {
  std::string jpeg = golden_picture("progressive.jpg");
  jpeg.replace(jpeg.rfind("\xff\xc4") + 5, 16, std::string(16, '\x20'));  // 512 codes, in a table after a scan
  expect_refusal(jpeg, "a Huffman table has too many codes");
}

TEST(DecodePicture, NoticesDamageOfAPng) {
  const std::string whole = golden_picture("rgb.png");
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_THROW(decode(damaged), std::runtime_error) << "at byte " << at;
  }
}

}  // namespace
}  // namespace poise
