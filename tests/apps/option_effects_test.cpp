// An accepted option has its documented effect: numbers that kernels cannot represent, schedules that end too early,
// and settings without effect are refused or cause a warning.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/options/option_flags.h"
#include "apps/run/run_settings.h"
#include "engine/io/checkpoint.h"
#include "tests/support/program_test_tools.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

using test::ProgramResult;
using test::small_run;
using test::TemporaryFolder;

ProgramResult train(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path()}, POISE_TRAIN_GAN, arguments);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// Options set as by the command line.
OptionSet given(const std::vector<std::pair<std::string, std::string>>& values) {
  OptionSet options;
  for (const auto& [key, value] : values) options.set_text(key, value, "command line --" + key);
  complete_options(options);
  return options;
}

TEST(OptionEffects, NumbersMustBeThereAsFloatsToo) {
  const std::pair<const char*, const char*> lost[] = {
      {"adam_eps", "1e-50"},       {"learning_rate_g", "1e-46"}, {"learning_rate_d", "1e-46"}, {"adam_eps", "1e-40"},
      {"ema_decay", "0.99999999"}, {"adam_beta1", "0.99999999"}, {"adam_beta2", "0.999999999"}};
  for (const auto& [key, value] : lost) {
    const OptionSet options = given({{key, value}});
    ASSERT_EQ(options.problems().size(), 1u) << key << " " << value;
    EXPECT_TRUE(contains(options.problems()[0], "as a 32-bit float")) << options.problems()[0];
  }
  EXPECT_TRUE(
      given({{"adam_eps", "1.2e-38"}, {"learning_rate_g", "1e-30"}, {"ema_decay", "0.99999"}}).problems().empty());
}

TEST(OptionEffects, WhatAPolicyReadsIsTaken) {
  const std::vector<std::pair<std::string, std::string>> cases[] = {
      {{"method", "gradual"}, {"density_g", "0.3"}, {"update_every_g", "50"}, {"prune_start", "100"}},
      {{"method", "gradual"}, {"density_g", "0.3"}, {"density_d", "0.5"}, {"update_every_d", "50"}},
      {{"method", "sdst-set"}, {"density_g", "0.3"}, {"drop_schedule", "linear"}, {"selection_scope", "layer"}},
      {{"method", "ddst-strict"}, {"density_g", "0.3"}, {"d_max", "0.6"}, {"update_every_d", "1500"}},
      {{"method", "posthoc"}, {"density_g", "0.3"}, {"posthoc_fine_tune", "1"}, {"schedule_iterations", "900"}},
  };
  for (const auto& values : cases) EXPECT_EQ(joined(given(values).problems()), "");
  // D is dense unless a density is given.
  EXPECT_TRUE(
      contains(joined(given({{"method", "gradual"}, {"density_g", "0.3"}, {"update_every_d", "50"}}).problems()),
               "update_every_d: has no effect"));
}

TEST(OptionEffects, WhatNothingReadsIsRefused) {
  const std::pair<std::vector<std::pair<std::string, std::string>>, const char*> cases[] = {
      {{{"method", "sdst-rigl"}}, "method sdst-rigl needs a density"},
      {{{"method", "static"}, {"density_d", "1"}}, "masks no weight"},
      {{{"method", "ddst-relaxed"}, {"density_g", "0.3"}, {"density_floor", "0.9"}},
       "density_floor: expected at most density_d = 0.3"},
      {{{"cell", "16x16"}}, "cell: has no effect without a sparse method"},
      {{{"drop_fraction", "0.2"}}, "drop_fraction: has no effect without a method that drops and grows"},
      {{{"method", "static"}, {"density_g", "0.3"}, {"update_every_g", "7"}}, "update_every_g: has no effect"},
      {{{"method", "sdst-set"}, {"density_g", "0.3"}, {"band_low", "0.3"}}, "band_low: has no effect"},
      {{{"method", "ddst-relaxed"}, {"density_g", "0.3"}, {"d_max", "0.6"}},
       "d_max: has no effect without method ddst-"},
      {{{"posthoc_fine_tune", "1"}}, "posthoc_fine_tune: has no effect without method posthoc"},
      {{{"eval_every", "0"}, {"eval_metric", "frechet-random"}}, "eval_metric: has no effect without eval_every"},
      {{{"eval_every", "5"}, {"eval_images", "10"}}, "eval_images: has no effect"},
      {{{"eval_every", "5"}, {"inception", "x"}}, "inception: has no effect"},
      {{{"eval_every", "5"}, {"eval_metric", "is"}, {"eval_reference", "x.npz"}}, "eval_reference: has no effect"},
  };
  for (const auto& [values, expected] : cases) {
    const OptionSet options = given(values);
    ASSERT_EQ(options.problems().size(), 1u) << expected << "\n" << joined(options.problems());
    EXPECT_TRUE(contains(options.problems()[0], expected)) << options.problems()[0];
  }
  EXPECT_TRUE(given({{"method", "dda"}, {"density_g", "0.3"}, {"density_d", "1"}}).problems().empty());
  // Options from a file or the environment may be meant for other runs, so they only cause a warning; presets do not.
  OptionSet file;
  file.set_text("cell", "16x16", "file x.toml, line 3");
  complete_options(file);
  EXPECT_TRUE(file.problems().empty());
  EXPECT_TRUE(contains(joined(file.warnings()), "cell: has no effect")) << joined(file.warnings());
  OptionSet variable;
  variable.set_text("cell", "16x16", "environment POISE_CELL");
  complete_options(variable);
  EXPECT_TRUE(variable.problems().empty());
  EXPECT_TRUE(contains(joined(variable.warnings()), "cell: has no effect")) << joined(variable.warnings());
}

TEST(OptionEffects, WhatNeverComesIsWarnedOf) {
  const std::pair<std::vector<std::pair<std::string, std::string>>, const char*> cases[] = {
      {{{"method", "sdst-set"}, {"density_g", "0.3"}, {"iterations", "400"}},
       "update_every_g = 500 has no effect in 400"},
      {{{"method", "dda"}, {"density_g", "0.3"}, {"iterations", "1500"}},
       "update_every_d = 2000 has no effect in 1500"},
      {{{"learning_rate_decay", "linear"}, {"decay_end", "50"}, {"iterations", "80"}}, "decay_end = 50: both learning"},
      {{{"ema_start", "80"}, {"iterations", "80"}}, "ema_start = 80 has no effect in 80 iterations"},
  };
  for (const auto& [values, expected] : cases) {
    const OptionSet options = given(values);
    EXPECT_TRUE(options.problems().empty()) << joined(options.problems());
    EXPECT_TRUE(contains(joined(options.warnings()), expected)) << joined(options.warnings());
  }
  EXPECT_EQ(joined(given({}).warnings()), "");
}

TEST(OptionEffects, SchedulesFollowTheIterations) {
  const TemporaryFolder folder;
  const std::vector<std::string> linear = {"--iterations", "2", "--learning-rate-decay", "linear"};
  ASSERT_EQ(train(folder, small_run(linear)).exit_code, 0);
  EXPECT_EQ(stored_options(folder / "runs/latest").settings().train.decay_end, 0);
  const std::string checkpoints = folder / "runs/latest/checkpoints";
  const auto weights = [&](const std::string& path) {
    const SafetensorsFile file = CheckpointStore::load(path);
    const auto bytes = file.at("G.linear.weight").bytes;
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  const std::string at_2 = weights(checkpoints + "/step-00000002.safetensors");
  const ProgramResult more = train(folder, {"--resume", "runs/latest", "--iterations", "6"});
  ASSERT_EQ(more.exit_code, 0) << more.err;
  EXPECT_TRUE(contains(more.err, "which were to be 0 at 2, now reach it at 6")) << more.err;
  EXPECT_NE(weights(checkpoints + "/step-00000006.safetensors"), at_2) << "weights change again";
  // The same when the run is the template of a longer one.
  ASSERT_EQ(train(folder, {"--config", "runs/latest/config.toml", "--iterations", "4"}).exit_code, 0);
  EXPECT_EQ(stored_options(folder / "runs/latest").settings().train.decay_ends(), 4);

  std::vector<std::string> explicitly = small_run(linear);
  explicitly.insert(explicitly.end(), {"--decay-end", "2"});
  ASSERT_EQ(train(folder, explicitly).exit_code, 0);
  const ProgramResult beyond = train(folder, {"--resume", "runs/latest", "--iterations", "3"});
  EXPECT_EQ(beyond.exit_code, 0);
  EXPECT_TRUE(contains(beyond.err, "warning: decay_end = 2: both learning rates are 0")) << beyond.err;
  EXPECT_TRUE(contains(test::read_bytes(folder / "runs/latest/log.txt"), "warning: decay_end = 2"));
}

// A run that has pruned does not prune again when it is extended.
TEST(OptionEffects, PruningComesOnce) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder, small_run({"--iterations", "3", "--method", "posthoc", "--density-g", "0.5"})).exit_code, 0);
  ASSERT_EQ(train(folder, {"--resume", "runs/latest", "--iterations", "9"}).exit_code, 0);
  const std::string lines = test::read_bytes(folder / "runs/latest/train.jsonl");
  size_t prunes = 0;
  for (size_t at = 0; (at = lines.find("\"prune\"", at)) != std::string::npos; ++at) ++prunes;
  EXPECT_EQ(prunes, 1u);
}

TEST(OptionSources, FilesAreLayersAndPresetsAreOne) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a.toml", "[model]\nwidth_g = 5\nwidth_d = 6\n");
  test::write_bytes(folder / "b.toml", "[model]\nwidth_d = 7\n");
  const ProgramResult both = train(folder, {"--config", "a.toml", "--config", "b.toml", "--print-config"});
  EXPECT_EQ(both.exit_code, 0) << both.err;
  EXPECT_TRUE(contains(both.out, "width_g = 5 ")) << both.out;
  EXPECT_TRUE(contains(both.out, "width_d = 7 ")) << both.out;
  const ProgramResult twice = train(folder, {"--preset", "tiny", "--preset", "demo", "--print-config"});
  EXPECT_EQ(twice.exit_code, 2);
  EXPECT_TRUE(contains(twice.err, "--preset: expected once but given 2 times")) << twice.err;
}

TEST(OptionSources, BlanksAndDashes) {
  const TemporaryFolder folder;
  const ProgramResult spaced = train(folder, {"--set", "seed = 4", "--set", " name=x ", "--print-config"});
  EXPECT_EQ(spaced.exit_code, 0) << spaced.err;
  EXPECT_TRUE(contains(spaced.out, "seed = 4 ") && contains(spaced.out, "name = \"x\" ")) << spaced.out;
  const ProgramResult dashes = train(folder, {"--", "--preset", "tiny"});
  EXPECT_EQ(dashes.exit_code, 2);
  EXPECT_TRUE(contains(dashes.err, "flags are not read after --")) << dashes.err;
}

TEST(JsonLines, HaveNullWhereThereIsNoNumber) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder, small_run({"--iterations", "2"})).exit_code, 0);
  std::istringstream lines(test::read_bytes(folder / "runs/latest/train.jsonl"));
  int nulls = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto object = nlohmann::json::parse(line);
    for (const auto& [key, value] : object.items()) {
      EXPECT_FALSE(value.is_string() && (value == "nan" || value == "inf")) << key;
      nulls += value.is_null() ? 1 : 0;
    }
  }
  EXPECT_GT(nulls, 0) << "a dense run has no balance ratio";
}

TEST(Reports, SayWhatIsDenseEquivalentAndWhatSavedIt) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder, small_run({"--iterations", "2", "--width-g", "32", "--width-d", "32", "--method", "static",
                                     "--density-g", "0.2", "--cell", "16x16", "--execution", "block"}))
                .exit_code,
            0);
  for (const char* file : {"report.md", "report.html"}) {
    const std::string text = test::read_bytes(folder / ("runs/latest/" + std::string(file)));
    EXPECT_TRUE(contains(text, "dense-equivalent")) << file;
    EXPECT_TRUE(contains(text, "of what was saved, masks ")) << file;
    EXPECT_TRUE(contains(text, "folded convolutions ")) << file;
  }
  std::istringstream lines(test::read_bytes(folder / "runs/latest/train.jsonl"));
  nlohmann::json last;
  for (std::string line; std::getline(lines, line);) {
    if (const auto object = nlohmann::json::parse(line); object.contains("flops")) last = object;
  }
  EXPECT_LT(last["executed_flops"], last["unmasked_flops"]);
  EXPECT_LE(last["unmasked_flops"], last["flops"]);
}

}  // namespace
}  // namespace poise
