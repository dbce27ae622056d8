// Fuzzing of texts: configuration files and tables of measured speeds (fuzzing.h). Accepted input can be written again
// and reads back unchanged.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "apps/options/complete_options.h"
#include "apps/options/option_sources.h"
#include "engine/sparse/crossover.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/fuzzing.h"

namespace poise {
namespace {

using test::Count;
using test::inputs;
using test::mutate;
using test::seed;
using test::Xorshift;

// Fragments of TOML, in addition to those for all formats, and values that option parsing may stumble over.
const std::vector<std::string> kTomlPieces = {"=",
                                              "#",
                                              "\r\n",
                                              "\t",
                                              "'",
                                              "'''",
                                              "\"\"\"",
                                              ".",
                                              "[[",
                                              "]]",
                                              "_",
                                              "+",
                                              "\\U0010ffff",
                                              "\xed\xa0\x80",
                                              "\x7f",
                                              "base = ",
                                              "base = \"tiny\"\n",
                                              "[train]\n",
                                              "[sparse]\n",
                                              "[model.x]\n",
                                              "seed = 1\n",
                                              "[train]\nseed = 1\n"};
const std::vector<std::string> kValues = {"nan",
                                          "-nan",
                                          "inf",
                                          "-inf",
                                          "-0.0",
                                          "1e400",
                                          "1e-400",
                                          "1e-46",
                                          "5e-324",
                                          "0.3",
                                          "1",
                                          "0",
                                          "-1",
                                          "0x10",
                                          "0b1",
                                          "1_000",
                                          "007",
                                          "1.",
                                          ".5",
                                          "+3",
                                          "true",
                                          "False",
                                          "[]",
                                          "[1]",
                                          "{}",
                                          "{a=1}",
                                          "\"\"",
                                          "''",
                                          "\"~\"",
                                          "\"-\"",
                                          "\"auto\"",
                                          "\"\\u0000\"",
                                          "\"\\ud800\"",
                                          "\"\xff\"",
                                          "\"\\x41\"",
                                          "\"a\nb\"",
                                          "\"\"\"a\nb\"\"\"",
                                          "'''x'''",
                                          "1979-05-27",
                                          "07:32:00",
                                          "1979-05-27T07:32:00Z",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "-9223372036854775808",
                                          "9007199254740993",
                                          "2147483648",
                                          "\"16x16\"",
                                          "\"16x16-all-taps\"",
                                          "\"color,cutout\"",
                                          "\"linear\"",
                                          "\"sdst-rigl\"",
                                          "\"gradual\"",
                                          "\"biggan32\"",
                                          "\"" + std::string(5000, 'x') + "\""};

template <class T>
const T& any_of(const std::vector<T>& all, Xorshift& random) {
  return all[random.below(all.size())];
}

// Random options, most of them in their groups, with values that are valid, hostile, or from another option.
std::string nearly_right_options(Xorshift& random) {
  std::string text = random.below(8) == 0 ? "base = \"tiny\"\n" : "";
  for (size_t count = 1 + random.below(4); count > 0; --count) {
    const Option& option = any_of(option_table(), random);
    const Option& other = any_of(option_table(), random);
    const std::vector<std::string>& choices = option.choices();
    std::string value = any_of(kValues, random);
    if (random.below(2) == 0) value = to_toml(value_of(Settings{}, random.below(4) == 0 ? other : option));
    if (!choices.empty() && random.below(2) == 0) value = to_toml(any_of(choices, random));
    text += "[" + (random.below(16) == 0 ? other : option).group + "]\n" + option.key + " = " + value + "\n";
  }
  return text;
}

OptionSet options_of(const std::string& text, const std::string& path) {
  test::write_bytes(path, text);
  OptionSet options;
  read_options_file(path, "fuzz", options);
  return options;
}

// Problems are collected, one line each, and nothing else is thrown. config.toml reproduces options without problems.
void read_hostile_options(const std::string& text, const std::string& path, Count& count) {
  OptionSet options = options_of(text, path);
  try {
    options.throw_if_problems();
    ++count.accepted;
  } catch (const Error& error) {
    ++count.refused;
    const std::string_view message = error.what();
    const size_t problems = options.problems().size(), lines = problems > 1 ? problems + 1 : 1;
    ASSERT_EQ(1 + std::count(message.begin(), message.end(), '\n'), lines) << message;
    return;
  }
  const std::string kept = options.to_toml(/*with_origins=*/true);
  const OptionSet again = options_of(kept, path);
  ASSERT_TRUE(again.problems().empty()) << again.problems()[0];
  ASSERT_EQ(again.to_toml(false), options.to_toml(false));
  complete_options(options);
}

TEST(FuzzTexts, TomlOptions) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "config.toml";
  std::vector<std::string> seeds = {
      OptionSet().to_toml(true),
      "base = \"tiny\"\n[train]\nseed = 7  # of the dice\nlearning_rate_g = 1e-4\r\n[output]\nname = 'a.b'\n",
      "[model]\nmodel = \"biggan32\"\nclasses = 0\n[sparse]\nmethod = \"ddst-strict\"\ndensity_g = 0.1\n",
      "[data]\ndata = \"~/pictures\"\nflip = false\n[sparse]\ncell = \"\"\"16x16\"\"\"\n",
  };
  for (const std::string name : {"demo", "tiny", "cifar10-sngan32-ddst-strict"}) {
    seeds.push_back(test::read_bytes(find_preset(name)));
  }
  Count mutated, generated;
  for (const std::string& each : seeds) read_hostile_options(each, path, mutated);
  ASSERT_EQ(mutated.refused, 0);
  Xorshift random(seed(0x5eeda));
  const int tries = inputs(1'500);
  for (int i = 0; i < tries && !HasFatalFailure(); ++i) {
    std::string input = mutate(any_of(seeds, random), seeds, random);
    if (i % 2 == 0) input.insert(random.below(input.size() + 1), any_of(kTomlPieces, random));
    read_hostile_options(input, path, mutated);
    if (HasFatalFailure()) std::printf("%s\n", input.c_str());
    read_hostile_options(nearly_right_options(random), path, generated);
  }
  for (const Count& count : {mutated, generated}) {
    EXPECT_GT(count.accepted, 100);
    EXPECT_GT(count.refused, 100);
  }
  std::printf("mutated: %d accepted, %d refused; generated: %d accepted, %d refused\n", mutated.accepted,
              mutated.refused, generated.accepted, generated.refused);
}

CrossoverKey key_of(Execution path) {
  return {.geometry = {.n = 8, .h = 16, .w = 16, .c_in = 256, .c_out = 256, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1},
          .pass = Pass::forward,
          .cell = {16, 16, false},
          .path = path};
}

// Regardless of the file, the speed-up for a measured key is a finite number above 0 that decisions can compare.
void check_accepted(const CrossoverTable& table) {
  for (const Execution execution : {Execution::block, Execution::cusparse, Execution::weights}) {
    const CrossoverKey key = key_of(execution);
    if (!table.measured(key)) continue;
    for (const double density : {0.001, 0.1, 0.5, 1.0}) {
      const double speedup = table.speedup(key, density, 1 / density);
      ASSERT_TRUE(speedup > 0 && std::isfinite(speedup)) << speedup << " at " << density;
    }
    const double crossover = table.crossover_density(key);
    ASSERT_TRUE(crossover >= 0 && crossover <= 1) << crossover;
  }
  const std::string kept = table.text("fuzz");
  ASSERT_EQ(CrossoverTable::parse(kept).text("fuzz"), kept);
}

// A table in valid JSON whose numbers are nearly right.
std::string nearly_right_table(Xorshift& random) {
  const std::vector<std::string> numbers = {"0.1",
                                            "0.5",
                                            "0.50000000000000001",
                                            "1",
                                            "1.0000000000000002",
                                            "0",
                                            "-0.0",
                                            "-1",
                                            "5e-324",
                                            "1e-300",
                                            "1e300",
                                            "1.7e308",
                                            "1e400",
                                            "7.5",
                                            "null",
                                            "true",
                                            "\"1\"",
                                            "[1]",
                                            "18446744073709551616"};
  const auto number = [&] { return random.below(8) == 0 ? any_of(numbers, random) : numbers[random.below(5)]; };
  std::string layers;
  for (const Execution execution : {Execution::block, Execution::cusparse, Execution::weights}) {
    std::string points;
    for (size_t count = random.below(4); count > 0; --count) {
      points += (points.empty() ? "[" : ",[") + number() + "," + number() + (random.below(64) == 0 ? ",1]" : "]");
    }
    if (random.below(4) == 0) continue;
    layers += (layers.empty() ? "\"" : ",\"") + key_of(execution).to_string() + "\":[" + points + "]";
  }
  return "{\"layers\":{" + layers + "}}";
}

TEST(FuzzTexts, CrossoverTables) {
  CrossoverTable table;
  for (const Execution execution : {Execution::block, Execution::cusparse, Execution::weights}) {
    table.add(key_of(execution), 0.1, 7.5);
    table.add(key_of(execution), 0.5, 1.25);
  }
  const std::vector<std::string> seeds = {
      table.text("fuzz"), R"({"layers": {"a": [[0.1, 8], [1, 0.5]], "b": []}, "kernels": 1})",
      R"({"layers": {")" + key_of(Execution::block).to_string() + R"(": [[0.5, 1], [0.25, 1e300], [0.5, 2]]}})"};
  Xorshift random(seed(0x5eedb));
  Count count;
  const int tries = inputs(10'000);
  for (int i = 0; i < tries && !HasFatalFailure(); ++i) {
    const std::string input = i % 2 == 0 ? nearly_right_table(random) : mutate(any_of(seeds, random), seeds, random);
    const CrossoverTable read = CrossoverTable::parse(input);  // never throws; an invalid table is read as empty
    ++(read.empty() ? count.refused : count.accepted);
    check_accepted(read);
    if (HasFatalFailure()) std::printf("%s\n", input.c_str());
  }
  EXPECT_GT(count.accepted, 1'000);
  EXPECT_GT(count.refused, 1'000);
  std::printf("%d accepted, %d refused\n", count.accepted, count.refused);
}

}  // namespace
}  // namespace poise
