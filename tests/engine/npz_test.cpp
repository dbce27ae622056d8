// npz files written by NumPy and by Poise, and damaged ones.
#include "engine/io/npz.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "tests/support/file_test_tools.h"
#include "tests/support/zip64.h"

namespace poise {
namespace {

const std::string kVariants = POISE_GOLDEN_DIR "/variants.npz";

NpzFile parse(const std::string& bytes) {
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  return NpzFile::parse(std::vector<std::byte>(first, first + bytes.size()), "file.npz");
}

void put(std::string& bytes, size_t at, uint32_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) bytes.at(at + i) = static_cast<char>(value >> (8 * i) & 0xff);
}

std::string two_arrays(const test::TemporaryFolder& folder) {
  const std::vector<NpyArray> arrays = {{.name = "mu", .shape = {2}, .values = {1, 2}},
                                        {.name = "nu", .shape = {2}, .values = {3, 4}}};
  write_npz(folder / "two.npz", arrays);
  return test::read_bytes(folder / "two.npz");
}

TEST(Npz, ReadsEveryLayoutThatNumPyWrites) {
  const NpzFile file = NpzFile::read(kVariants);
  const std::vector<double> expected = {0.5, 1.5, 2.5, 3.5, 4.5, 5.5};
  for (const char* name : {"c", "fortran", "f4", "big", "big_fortran_f4", "version2", "version3"}) {
    const NpyArray array = file.array(name);
    EXPECT_EQ(array.shape, (std::vector<int64_t>{2, 3})) << name;
    EXPECT_EQ(array.values, expected) << name;
  }
  EXPECT_EQ(file.array("scalar").values, std::vector<double>{2.5});
  EXPECT_TRUE(file.array("scalar").shape.empty());
  EXPECT_TRUE(file.array("empty").values.empty());
  const NpyArray cube = file.array("cube");
  for (size_t i = 0; i < 24; ++i) EXPECT_EQ(cube.values.at(i), static_cast<double>(i));
  EXPECT_EQ(file.array("text").text, "{\"a\": 1}");
  EXPECT_EQ(file.names().size(), 13u);
  test::expect_error(ErrorKind::data, {"integers", "<i8", "astype"}, [&] { file.array("integers"); });
  test::expect_error(ErrorKind::data, {"objects", "|O"}, [&] { file.array("objects"); });
  test::expect_error(ErrorKind::data, {"named mu", "fortran"}, [&] { file.array("mu"); });
}

TEST(Npz, ReadsBackWhatItWrites) {
  const test::TemporaryFolder folder;
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<NpyArray> arrays = {{.name = "mu", .shape = {3}, .values = {1.0 / 3, -inf, 5e-324}},
                                        {.name = "sigma", .shape = {2, 2}, .values = {1, 2, 3, 4}},
                                        {.name = "note", .text = "line\n\xc3\xa9"},
                                        {.name = "one", .shape = {1}, .values = {7}}};
  write_npz(folder / "a.npz", arrays);
  write_npz(folder / "b.npz", arrays);
  EXPECT_EQ(test::read_bytes(folder / "a.npz"), test::read_bytes(folder / "b.npz"));
  const NpzFile file = NpzFile::read(folder / "a.npz");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"mu", "sigma", "note", "one"}));
  for (const NpyArray& array : arrays) {
    EXPECT_EQ(file.array(array.name).shape, array.shape);
    EXPECT_EQ(file.array(array.name).values, array.values);
    EXPECT_EQ(file.array(array.name).text, array.text);
  }
}

TEST(Npz, ReadsZip64) {
  const test::TemporaryFolder folder;
  const std::string large = test::as_zip64(two_arrays(folder));
  EXPECT_EQ(parse(large).array("mu").values, (std::vector<double>{1, 2}));
  EXPECT_EQ(parse(large).array("nu").values, (std::vector<double>{3, 4}));
  const size_t second_end = large.find("PK\x06\x06"), locator = large.find("PK\x06\x07");
  for (const size_t place : {second_end + 32, second_end + 40, second_end + 48, locator + 8}) {
    for (const uint32_t wrong : {0u, 1u, 0xffffffffu}) {
      std::string bad = large;
      put(bad, place, wrong, 4);
      test::expect_error(ErrorKind::data, {"file.npz"}, [&] { parse(bad); });
    }
  }
}

TEST(Npz, RefusesWhatIsNoArchive) {
  test::expect_error(ErrorKind::data, {"file.npz", "a truncated one"}, [] { parse(""); });
  test::expect_error(ErrorKind::data, {"a truncated one"}, [] { parse(std::string(5000, 'x')); });
  test::expect_error(ErrorKind::data, {"make-stats"}, [] { NpzFile::read("/no/such/file.npz"); });
  const std::string whole = test::read_bytes(kVariants);
  for (size_t size = 0; size < whole.size(); size += 37) {  // truncated anywhere
    test::expect_error(ErrorKind::data, {"file.npz"}, [&] { parse(whole.substr(0, size)); });
  }
}

TEST(Npz, RefusesZipTricks) {
  const test::TemporaryFolder folder;
  const std::string good = two_arrays(folder);
  ASSERT_EQ(parse(good).array("nu").values, (std::vector<double>{3, 4}));
  const size_t end = good.size() - 22, second = good.rfind("PK\x01\x02"), first = good.find("PK\x01\x02");
  const size_t second_local = good.rfind("PK\x03\x04");
  std::string bad = good;

  put(bad, second + 42, 0, 4);  // both entries refer to the same bytes
  test::expect_error(ErrorKind::data, {"contradicts"}, [&] { parse(bad); });
  bad = good;
  for (const size_t at : {second + 46, second_local + 30}) bad[at] = 'm';
  for (const size_t at : {second + 47, second_local + 31}) bad[at] = 'u';
  test::expect_error(ErrorKind::data, {"two arrays", "mu"}, [&] { parse(bad); });

  bad = good;  // the first array extends into the second
  const size_t reach = second_local - 30;
  for (const size_t at : {first + 20, first + 24, size_t{18}, size_t{22}})
    put(bad, at, static_cast<uint32_t>(reach), 4);
  test::expect_error(ErrorKind::data, {"overlap"}, [&] { parse(bad); });

  bad = good;  // sizes beyond the file
  for (const size_t at : {first + 20, first + 24, size_t{18}, size_t{22}}) put(bad, at, 0x7fffffff, 4);
  test::expect_error(ErrorKind::data, {"truncated"}, [&] { parse(bad); });

  bad = good;  // a bomb: 200 bytes that claim to hold 4 GB
  for (const size_t at : {first + 10, size_t{8}}) put(bad, at, 8, 2);
  for (const size_t at : {first + 24, size_t{22}}) put(bad, at, 0xfffffff0, 4);
  test::expect_error(ErrorKind::data, {"1 GiB"}, [&] { parse(bad); });

  bad = good;
  for (const size_t at : {first + 8, size_t{6}}) put(bad, at, 1, 2);
  test::expect_error(ErrorKind::data, {"encrypted"}, [&] { parse(bad); });
  bad = good;
  for (const size_t at : {first + 10, size_t{8}}) put(bad, at, 12, 2);
  test::expect_error(ErrorKind::data, {"method 12"}, [&] { parse(bad); });
  bad = good;
  put(bad, end + 10, 1, 2);
  put(bad, end + 8, 1, 2);
  test::expect_error(ErrorKind::data, {"belong to no array"}, [&] { parse(bad); });
  bad = good;
  put(bad, end + 12, 1, 4);
  test::expect_error(ErrorKind::data, {"directory"}, [&] { parse(bad); });
  bad = good;
  bad[second_local - 1] ^= 1;
  test::expect_error(ErrorKind::data, {"mu", "checksum"}, [&] { parse(bad).array("mu"); });
  EXPECT_EQ(parse(bad).array("nu").values, (std::vector<double>{3, 4}));  // the other arrays are intact
}

std::string npy(const std::string& header, size_t data) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes + header + std::string(data, '\0');
}

void expect_refused(const std::string& header, size_t data, const std::vector<std::string>& parts) {
  const std::string bytes = npy(header, data);
  test::expect_error(ErrorKind::data, parts, [&] {
    parse_npy({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, "array x");
  });
}

TEST(Npy, RefusesDamagedHeaders) {
  const std::string rest = ", 'fortran_order': False, 'shape': (2,), }";
  expect_refused("{'descr': '<f8'" + rest, 15, {"array x", "expected 2 values of 8", "15 bytes"});
  expect_refused("{'descr': '<f8'" + rest, 24, {"24 bytes"});
  expect_refused("{'descr': '<f2'" + rest, 4, {"<f2"});
  expect_refused("{'descr': [('a', '<f8')]" + rest, 16, {"records"});
  expect_refused("{'descr': '<f8', 'descr': '<f8'" + rest, 16, {"twice"});
  expect_refused("{'descr': '<f8', 'other': '<f8'" + rest, 16, {"unknown key"});
  expect_refused("{'descr': '<f8', 'fortran_order': False}", 8, {"without"});
  expect_refused("{'descr': '<f8', 'fortran_order': 0, 'shape': ()}", 8, {"True or False"});
  expect_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", 8, {"tuple of sizes"});
  expect_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}", 8, {"beyond"});
  expect_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000)}", 8, {"2^27"});
  expect_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 8, {"dimensions"});
  expect_refused("{'descr': '<f8'" + rest + "x", 16, {"more text"});
  expect_refused("", 16, {"instead of {"});
  expect_refused("{'descr': '<f8", 16, {"overlong name"});
}

}  // namespace
}  // namespace poise
