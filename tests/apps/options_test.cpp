// Options: precedence and origins, checks, suggestions, all problems at once, and the presets.
#include "apps/options/options.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "apps/console/command_line.h"
#include "apps/console/suggestion.h"
#include "apps/options/complete_options.h"
#include "apps/options/option_sources.h"
#include "kernels/core/error.h"
#include "models/registry.h"

namespace poise {
namespace {

std::string all_problems(const OptionSet& options) {
  std::string text;
  for (const std::string& problem : options.problems()) text += problem + "\n";
  return text;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A file that is removed by the destructor.
struct TemporaryFile {
  std::string path = testing::TempDir() + "options_test_" + std::to_string(::getpid()) + ".toml";
  explicit TemporaryFile(const std::string& text) { std::ofstream(path) << text; }
  ~TemporaryFile() { std::filesystem::remove(path); }
};

OptionSet from_file(const std::string& text) {
  const TemporaryFile file(text);
  OptionSet options;
  read_options_file(file.path, "file x.toml", options);
  return options;
}

TEST(Options, DefaultsAreThePapers) {
  const Settings s;
  EXPECT_EQ(s.train.batch_size_d, 64);
  EXPECT_EQ(s.train.batch_size_g, 128);
  EXPECT_EQ(s.train.n_critic, 5);
  EXPECT_EQ(s.train.iterations, 100000);
  EXPECT_EQ(s.train.learning_rate_g, 2e-4);
  EXPECT_EQ(s.train.adam_beta2, 0.9);
  EXPECT_EQ(s.train.ema_decay, 0.999);
  OptionSet options;
  for (const Option& option : option_table()) {
    EXPECT_EQ(options.origin(option.key), "default") << option.key;
    EXPECT_TRUE(options.is_default(option)) << option.key;
    options.set(option.key, value_of(s, option), "itself");  // every default is within its own limits
  }
  EXPECT_EQ(all_problems(options), "");
}

TEST(Options, LaterSourcesWinAndEachValueRemembersItsOwn) {
  OptionSet options;
  const TemporaryFile file("[model]\nwidth_g = 16\nwidth_d = 17\n[train]\nseed = 18\n");
  read_options_preset("tiny", options);
  EXPECT_EQ(options.origin("width_g").substr(0, 18), "preset tiny, line ");
  read_options_file(file.path, "file f.toml", options);
  const char* environment[] = {"HOME=/nowhere", "POISE_WIDTH_D=27", "POISE_SEED=28", "POISE_PRESETS=/nowhere", nullptr};
  read_options_environment(environment, options);
  options.set_text("seed", "38", "command line --seed");
  ASSERT_EQ(all_problems(options), "");
  EXPECT_EQ(options.settings().model.width_g, 16);
  EXPECT_EQ(options.origin("width_g"), "file f.toml, line 2");
  EXPECT_EQ(options.settings().model.width_d, 27);
  EXPECT_EQ(options.origin("width_d"), "environment POISE_WIDTH_D");
  EXPECT_EQ(options.settings().train.seed, 38);
  EXPECT_EQ(options.origin("seed"), "command line --seed");
  EXPECT_EQ(options.origin("threads"), "default");
}

TEST(Options, UnknownKeysAreProblemsWithSuggestions) {
  OptionSet options = from_file("[model]\nwidht_g = 3\n[trian]\nseed = 1\n[train]\nzzz = 2\n");
  EXPECT_TRUE(contains(all_problems(options), "unknown option widht_g (did you mean width_g?) [file x.toml, line 2]"));
  EXPECT_TRUE(contains(all_problems(options), "unknown table [trian] (did you mean train?)"));
  EXPECT_TRUE(contains(all_problems(options), "unknown option zzz [file x.toml, line 6]"));
  const char* environment[] = {"POISE_LEARNING_RATE=1", nullptr};
  read_options_environment(environment, options);
  EXPECT_TRUE(contains(all_problems(options), "POISE_LEARNING_RATE (did you mean POISE_LEARNING_RATE_"));
  OptionSet preset;
  read_options_preset("tiyn", preset);
  EXPECT_TRUE(
      contains(all_problems(preset), "unknown preset \"tiyn\" (did you mean tiny?); known: cifar10-biggan32-d"));
}

TEST(Options, WrongTypesNameKeyExpectedGotAndOrigin) {
  const OptionSet options = from_file(
      "[model]\nwidth_g = \"wide\"\nmodel = \"sngan33\"\n[data]\nflip = 1\n"
      "[train]\niterations = 1e3\nlearning_rate_g = 0\nadam_beta2 = 1.0\nseed = [1]\nn_critic = 0\n");
  EXPECT_EQ(options.problems().size(), 8u) << all_problems(options);
  const std::string text = all_problems(options);
  EXPECT_TRUE(contains(text, "width_g: expected an integer from 1 to 4096 but got \"wide\" [file x.toml, line 2]"))
      << text;
  EXPECT_TRUE(contains(
      text, "model: expected " + join_alternatives(model_names()) + " but got \"sngan33\" (did you mean sngan32"))
      << text;
  EXPECT_TRUE(contains(text, "flip: expected true or false but got 1 ")) << text;
  EXPECT_TRUE(contains(text, "iterations: expected an integer from 1 but got 1000.0 ")) << text;
  EXPECT_TRUE(contains(text, "learning_rate_g: expected a real number above 0 to 10 but got 0 ")) << text;
  EXPECT_TRUE(contains(text, "adam_beta2: expected a real number from 0 to below 1 but got 1.0 ")) << text;
  EXPECT_TRUE(contains(text, "seed: expected an integer from 0 but got an array")) << text;
  EXPECT_TRUE(contains(text, "n_critic: expected an integer from 1 to 1000 but got 0 ")) << text;
  EXPECT_EQ(options.settings().model.width_g, Settings{}.model.width_g) << "a refused value is not taken";
}

TEST(Options, AllProblemsAreReportedTogether) {
  OptionSet options;
  options.set_text("seed", "x", "here");
  options.set_text("flip", "maybe", "there");
  options.set_text("learning_rate_g", "nan", "nowhere");
  options.set_text("name", "../up", "file");
  try {
    options.throw_if_problems();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    const std::string text = error.what();
    EXPECT_TRUE(text.starts_with("4 problems with the options:\n  seed: ")) << text;
    EXPECT_TRUE(contains(text, "flip: expected true or false but got \"maybe\" [there]")) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  }
  OptionSet one;
  one.set_text("seed", "-1", "here");
  EXPECT_THROW(one.throw_if_problems(), Error);
  EXPECT_EQ(one.problems()[0], "seed: expected an integer from 0 but got -1 [here]");
  OptionSet empty;
  empty.set("runs", std::string(), "here");
  EXPECT_EQ(empty.problems()[0], "runs: expected text that is not empty but got \"\" [here]");
}

TEST(Options, FilesThatAreNoneAreProblems) {
  OptionSet options;
  read_options_file("/nowhere/x.toml", "file", options);
  read_options_file("/", "file", options);
  EXPECT_EQ(options.problems().size(), 2u);
  EXPECT_TRUE(contains(all_problems(options), "/nowhere/x.toml: No such file")) << all_problems(options);
  EXPECT_TRUE(contains(all_problems(from_file("[model\n")), "not TOML"));
  EXPECT_TRUE(contains(all_problems(from_file("width_g = 3\n")), "belongs in [model] but is before any table"));
  EXPECT_TRUE(contains(all_problems(from_file("[train]\nwidth_g = 3\n")), "belongs in [model] but is in [train]"));
}

TEST(Options, ConfigFileRoundTripsBitForBit) {
  OptionSet options;
  options.set("learning_rate_g", Value(0.1 + 0.2), "test");
  options.set("posthoc_fine_tune", Value(1e-300), "test");
  options.set("data", Value(std::string("a \"b\" \\ \t c")), "test");
  options.set("seed", Value(int64_t{9007199254740992}), "test");
  ASSERT_EQ(all_problems(options), "");
  for (const bool with_origins : {false, true}) {
    const OptionSet again = from_file(options.to_toml(with_origins));
    EXPECT_EQ(all_problems(again), "");
    for (const Option& option : option_table()) {
      EXPECT_EQ(value_of(again.settings(), option), value_of(options.settings(), option)) << option.key;
    }
  }
}

TEST(Options, AFileMayBeginWithAPreset) {
  const OptionSet options = from_file("base = \"tiny\"\n[model]\nwidth_g = 48\n");
  ASSERT_EQ(all_problems(options), "");
  EXPECT_EQ(options.settings().model.width_g, 48);
  EXPECT_EQ(options.origin("width_g"), "file x.toml, line 3");
  EXPECT_EQ(options.settings().model.width_d, 32);
  EXPECT_EQ(options.origin("width_d").substr(0, 18), "preset tiny, line ");
  EXPECT_TRUE(contains(all_problems(from_file("base = 3\n")), "base: expected the name of a preset [file x.toml"));
  EXPECT_TRUE(contains(all_problems(from_file("base = \"tiyn\"\n")), "unknown preset \"tiyn\" (did you mean tiny?)"));
  EXPECT_TRUE(contains(all_problems(from_file("[train]\nbase = \"tiny\"\n")), "unknown option base"));

  const std::string folder = testing::TempDir() + "options_test_presets_" + std::to_string(::getpid());
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/egg.toml") << "base = \"hen\"\n";
  std::ofstream(folder + "/hen.toml") << "base = \"egg\"\n";
  ::setenv("POISE_PRESETS", folder.c_str(), 1);
  OptionSet circle;
  read_options_preset("egg", circle);
  ::unsetenv("POISE_PRESETS");
  std::filesystem::remove_all(folder);
  EXPECT_EQ(all_problems(circle), "base: preset egg would be its own base [preset hen, line 1]\n");
}

OptionSet completed(const std::vector<std::pair<std::string, std::string>>& given) {
  OptionSet options;
  for (const auto& [key, value] : given) options.set_text(key, value, "test");
  complete_options(options);
  return options;
}

TEST(TrainingOptions, FillInWhereADecayEndsAndRefuseWhatDoesNotFit) {
  EXPECT_EQ(completed({}).settings().train.decay_end, 0);
  const OptionSet linear = completed({{"learning_rate_decay", "linear"}, {"iterations", "77"}});
  EXPECT_EQ(all_problems(linear), "");
  EXPECT_EQ(linear.settings().train.decay_end, 0);  // not filled in: as a template of a longer run, it ends later
  EXPECT_EQ(linear.settings().train.decay_ends(), 77);
  const std::pair<std::vector<std::pair<std::string, std::string>>, const char*> cases[] = {
      {{{"decay_end", "5"}}, "the learning rates are constant"},
      {{{"learning_rate_decay", "linear"}, {"decay_start", "9"}, {"decay_end", "9"}},
       "decay_start: expected less than"},
      {{{"accumulate", "3"}, {"batch_size_d", "6"}}, "accumulate: expected a divisor of batch_size_g = 128 but got 3"},
      {{{"diff_augment", "colour"}}, "diff_augment: expected none, or some of color,translation,cutout, but got"},
  };
  for (const auto& [given, expected] : cases) {
    const OptionSet options = completed(given);
    ASSERT_EQ(options.problems().size(), 1u) << all_problems(options);
    EXPECT_TRUE(contains(options.problems()[0], expected)) << options.problems()[0];
  }
}

TEST(TrainingOptions, DiffAugmentNamesPolicies) {
  EXPECT_FALSE(diff_augment_of("none")->any());
  const auto two = diff_augment_of("cutout,color");
  ASSERT_TRUE(two);
  EXPECT_TRUE(two->color && two->cutout && !two->translation);
  EXPECT_TRUE(diff_augment_of("translation")->translation);
  for (const char* text : {"", ",", "color,", "color,color", "none,color", "color, cutout"}) {
    EXPECT_FALSE(diff_augment_of(text)) << text;
  }
}

TEST(Options, ConfigHashKnowsWhatMakesARun) {
  const std::string base = config_hash(fixed_settings({}));
  for (const Option& option : option_table()) {
    OptionSet options;
    if (option.is_boolean())
      options.set_text(option.key, "false", "test");
    else if (!option.choices().empty())
      options.set_text(option.key, option.choices().back(), "test");
    else if (!option.field.form.empty())
      options.set_text(option.key, option.key == "cell" ? "2x2" : "color", "test");
    else
      options.set_text(option.key, option.field.type == Field::Type::real ? "0.25" : "7", "test");
    ASSERT_EQ(all_problems(options), "") << option.key;
    if (options.is_default(option)) continue;  // an option with only one choice
    EXPECT_EQ(config_hash(fixed_settings(options.settings())) == base, option.on_resume != OnResume::fixed)
        << option.key;
  }
}

TEST(CommandLine, ReadsFlagsAndReportsWhatItDoesNotKnow) {
  using Kind = Flag::Kind;
  const CommandLineSpec spec{.description = "x",
                             .flags = {{"--set", Kind::list, "KEY=VALUE", "h"},
                                       {"--width-g", Kind::value, "", "h"},
                                       {"--flip", Kind::boolean, "", "h"},
                                       {"-q,--quiet", Kind::on, "", "h"}}};
  const char* good[] = {"p", "--set", "a=1", "--width-g=3", "--flip", "--set", "b=2", "-q", "--width-g", "-4"};
  const CommandLine line = parse_command_line(spec, 10, good);
  EXPECT_TRUE(line.problems.empty()) << line.problems[0];
  EXPECT_EQ(line.values.at("set"), (std::vector<std::string>{"a=1", "b=2"}));
  EXPECT_EQ(line.get("width-g", ""), "-4");
  EXPECT_EQ(line.get("flip", ""), "true");
  EXPECT_TRUE(line.has("quiet"));
  const char* off[] = {"p", "--flip", "false"};
  EXPECT_EQ(parse_command_line(spec, 3, off).get("flip", ""), "false");
  const char* bad[] = {"p", "--widht-g", "3", "stray", "--zzz=1"};
  const CommandLine wrong = parse_command_line(spec, 5, bad);
  EXPECT_EQ(wrong.problems, (std::vector<std::string>{"unknown flag --widht-g (did you mean --width-g?)",
                                                      "unexpected argument \"stray\"", "unknown flag --zzz"}));
  const char* missing[] = {"p", "--width-g"};
  EXPECT_EQ(parse_command_line(spec, 2, missing).problems.size(), 1u);
  // In "--width-g=$NOTHING --quiet", the value is empty and not the next word.
  const char* empty[] = {"p", "--width-g=", "--quiet", "--flip="};
  const CommandLine nothing = parse_command_line(spec, 4, empty);
  EXPECT_TRUE(nothing.has("width-g") && nothing.has("quiet"));
  EXPECT_EQ(nothing.get("width-g", "x"), "");
  EXPECT_EQ(nothing.problems, std::vector<std::string>{"--flip: expected true or false but got nothing"});
  const char* help[] = {"p", "--help"};
  EXPECT_TRUE(parse_command_line(spec, 2, help).wants_help);
}

TEST(CommandLine, AnArgumentMayFollowDashes) {
  const CommandLineSpec spec{
      .description = "x", .flags = {{"--width-g", Flag::Kind::value, "", "h"}}, .positional = "run"};
  const char* words[] = {"p", "--width-g", "3", "--", "--run"};
  const CommandLine line = parse_command_line(spec, 5, words);
  EXPECT_TRUE(line.problems.empty()) << line.problems[0];
  EXPECT_EQ(line.positional, "--run");
}

TEST(Suggestion, CountsEdits) {
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("abc", "acb"), 1);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(did_you_mean("sede", {"seed", "loss"}), " (did you mean seed?)");
  EXPECT_EQ(did_you_mean("entirely", {"seed", "loss"}), "");
  EXPECT_EQ(did_you_mean("iter", {"iterations"}), " (did you mean iterations?)");
}

TEST(Suggestion, KnowsAbbreviations) {
  std::vector<std::string> flags;
  for (const Option& option : option_table()) flags.push_back(option.flag());
  EXPECT_EQ(did_you_mean("--lr", flags), " (did you mean --learning-rate-g or --learning-rate-d?)");
  EXPECT_EQ(did_you_mean("--lr-d", flags), " (did you mean --learning-rate-d?)");
  EXPECT_EQ(did_you_mean("--batch-size", flags), " (did you mean --batch-size-d or --batch-size-g?)");
  EXPECT_EQ(did_you_mean("--beta2", flags), " (did you mean --adam-beta2?)");
  EXPECT_EQ(did_you_mean("--latent", flags), " (did you mean --latent-size?)");
  EXPECT_EQ(did_you_mean("--epochs", flags), "");
  EXPECT_EQ(did_you_mean("x", {"xa", "xb"}), " (did you mean xa or xb?)");
}

}  // namespace
}  // namespace poise
