// The options of a training run: one struct that holds them and one table that describes them. Everything else is
// derived from the table: presets and configuration files ([group] key = value), the environment (POISE_KEY), flags
// (--key), their checks, --help, --print-config, and the config.toml of a run.
//
// Precedence: defaults < preset < file < environment < command line. Every value remembers where it came from. Problems
// are collected, so that a user sees all of them at once.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace poise {

// Defaults: SNGAN-32 on CIFAR-10 as the paper trains it.
struct Settings {
  // [model]
  std::string model = "sngan32";
  int64_t width_g = 256, width_d = 128, latent_size = 128, classes = 0;
  std::string init = "pytorch";
  // [data]
  std::string dataset = "cifar10", split = "auto", data = "sample";
  int64_t image_size = 0;  // the model's
  bool flip = true, data_cache = true;
  std::string data_placement = "auto";
  // [train]
  int64_t iterations = 100000, batch_size_d = 64, batch_size_g = 128, n_critic = 5;
  std::string loss = "hinge";
  double learning_rate_g = 2e-4, learning_rate_d = 2e-4;
  std::string learning_rate_decay = "constant";
  int64_t decay_start = 0, decay_end = 0;  // end 0: complete_training_options() fills it in
  double adam_beta1 = 0.0, adam_beta2 = 0.9, adam_eps = 1e-8, ema_decay = 0.999;
  int64_t ema_start = 0, accumulate = 1;
  std::string diff_augment = "none";
  int64_t seed = 1, threads = 0;
  // [sparse] execution: kernels that skip dead blocks
  std::string execution = "auto";
  // [sparse]; 0 where a comment says so: complete_sparse_options() fills it in
  std::string method = "dense";
  double density_g = 1, density_d = 0;  // d: as g
  std::string density_rule = "erk", cell = "1x1";
  bool mask_head = false;
  int64_t update_every_g = 500, update_every_d = 0;  // d: the method's
  int64_t schedule_iterations = 0;                   // as iterations
  double drop_fraction = 0.5, drop_fraction_end = 0.005;
  std::string drop_schedule = "cosine", selection_scope = "global", moment_policy = "seed";
  double band_low = 0, band_high = 0;  // the method's
  double density_step = 0.05, density_floor = 0.05, d_max = 0.5;
  int64_t br_every = 10, br_window = 1000;
  std::string br_mode = "mean-of-ratios";
  double posthoc_fine_tune = 0.5;
  std::string device = "auto", precision = "auto";
  bool graph = true;
  // [output]
  std::string runs = "runs", name;
  int64_t log_every = 100, sample_every = 1000, sample_count = 64, sample_scale = 2;
  int64_t checkpoint_every = 1000, keep_checkpoints = 3;
  int64_t eval_every = 0, eval_images = 5000;
  std::string eval_metric = "swd", eval_reference = "train", inception = "auto";
};

// May an existing run be continued with another value?
enum class OnResume : uint8_t {
  fixed,    // no: the run would not be the same run. These are stored in checkpoints and compared.
  free,     // yes: the numbers that come out do not depend on it, but for the rounding of devices and precisions
  settled,  // decided when the run directory was made
};

// What a value must satisfy. Numbers: an interval, each end closed unless said. Text: one of `choices`, if there are.
struct Limits {
  double least = 0, most = 0;
  bool open_least = false, open_most = false;
  std::vector<std::string> choices;
  bool file_name = false;  // text that becomes part of a file name
};

using Field = std::variant<int64_t Settings::*, double Settings::*, bool Settings::*, std::string Settings::*>;
using Value = std::variant<int64_t, double, bool, std::string>;

struct Option {
  std::string group, key;
  Field field;
  OnResume on_resume;
  Limits limits;
  std::string help;

  std::string flag() const;         // "--width-g"
  std::string environment() const;  // "POISE_WIDTH_G"
  std::string expected() const;     // "an integer from 1 to 4096"
  bool is_boolean() const { return std::holds_alternative<bool Settings::*>(field); }
};

const std::vector<Option>& option_table();
const Option* find_option(const std::string& key);
std::vector<std::string> option_keys();

Value value_of(const Settings& settings, const Option& option);
std::string to_toml(const Value& value);  // reads back as the same value, bit for bit

// Settings with the origin of each value.
class OptionSet {
 public:
  OptionSet();

  const Settings& settings() const { return settings_; }
  const std::string& origin(const std::string& key) const;
  bool is_default(const Option& option) const;

  // Takes a value if it is good, else notes the problem. `text` values come from the environment or the command line
  // and are read as the option's type.
  void set(const std::string& key, const Value& value, const std::string& origin);
  void set_text(const std::string& key, const std::string& text, const std::string& origin);

  void add_problem(const std::string& problem) { problems_.push_back(problem); }
  const std::vector<std::string>& problems() const { return problems_; }
  // Error(usage) with everything that was noted: one line if it is one problem, else a line each.
  void throw_if_problems() const;

  // A configuration file, in groups; `with_origins` adds "  # origin" to each line.
  std::string to_toml(bool with_origins) const;

 private:
  Settings settings_;
  std::vector<std::string> origins_;  // in the order of the table
  std::vector<std::string> problems_;
};

// The settings a checkpoint is bound to (OnResume::fixed), as "key=value" lines in the order of the table.
std::string fixed_settings(const Settings& settings);
// 16 hexadecimal digits of FNV-1a over fixed_settings.
std::string config_hash(const Settings& settings);

}  // namespace poise
