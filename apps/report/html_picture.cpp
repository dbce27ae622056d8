#include "apps/report/html_picture.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/report/svg_chart.h"
#include "engine/io/read_file.h"

namespace poise {
namespace {

constexpr size_t kLargestPicture = size_t{8} << 20;

std::string base64(const std::vector<std::byte>& bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](size_t k) { return i + k < bytes.size() ? static_cast<uint32_t>(bytes[i + k]) : 0u; };
    const uint32_t group = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (size_t k = 0; k < 4; ++k) text += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

}  // namespace

std::string html_picture(const std::string& folder, const std::string& file, const std::string& caption) {
  const std::string path = folder + "/" + file;
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return "";
  if (size > kLargestPicture) {
    return fmt::format("<figure><figcaption>{}: {} ({} MiB, too large to embed)</figcaption></figure>\n",
                       xml_escaped(caption), xml_escaped(file), size >> 20);
  }
  const auto bytes = read_file(path, ErrorKind::runtime, "write the report again");
  return fmt::format(
      "<figure><img alt=\"{0}\" src=\"data:image/png;base64,{1}\"/><figcaption>{0}</figcaption></figure>\n",
      xml_escaped(caption), base64(bytes));
}

}  // namespace poise
