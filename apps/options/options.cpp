#include "apps/options/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "apps/console/suggestion.h"
#include "apps/evaluation/feature_metric.h"
#include "apps/options/sparse_methods.h"
#include "apps/training/data_placement.h"
#include "data/registry.h"
#include "engine/nn/init.h"
#include "kernels/core/error.h"
#include "models/registry.h"

namespace poise {
namespace {

constexpr double kLargestExactInteger = 9007199254740992.0;  // 2^53: what a reader of TOML or JSON surely keeps

Limits from_to(double least, double most) { return {.least = least, .most = most}; }
Limits at_least(double least) { return {.least = least, .most = kLargestExactInteger}; }
Limits above_to(double least, double most) { return {.least = least, .most = most, .open_least = true}; }
Limits from_below(double least, double most) { return {.least = least, .most = most, .open_most = true}; }
Limits one_of(std::vector<std::string> choices) { return {.choices = std::move(choices)}; }

std::vector<std::string> evaluation_names() {
  std::vector<std::string> names = {"swd"};
  for (const FeatureMetric& metric : feature_metrics()) names.push_back(metric.name);
  return names;
}

std::vector<Option> make_table() {
  using S = Settings;
  constexpr OnResume fixed = OnResume::fixed, free = OnResume::free, settled = OnResume::settled;
  const Limits any_text;
  return {
      {"model", "model", &S::model, fixed, one_of(model_names()), "the pair of networks"},
      {"model", "width_g", &S::width_g, fixed, from_to(1, 4096), "channels of the generator"},
      {"model", "width_d", &S::width_d, fixed, from_to(1, 4096), "channels of the discriminator"},
      {"model", "latent_size", &S::latent_size, fixed, from_to(1, 65536), "dimensions of the latent z"},
      {"model", "classes", &S::classes, fixed, from_to(0, 1000000), "classes of a conditional model; 0 for all others"},
      {"model", "init", &S::init, fixed, one_of(init_scheme_names()), "how weights start"},

      {"data", "dataset", &S::dataset, fixed, one_of(data_set_names()), "what the files are"},
      {"data", "split", &S::split, fixed, one_of(split_names()), "which of its images; auto: what the paper trains on"},
      {"data", "data", &S::data, free, any_text, "folder of the files, or 'sample': the images that come with Poise"},
      {"data", "image_size", &S::image_size, fixed, from_to(0, 1024), "side images are resized to; 0: the model's"},
      {"data", "data_cache", &S::data_cache, free, any_text, "keep resized images in ~/.cache/poise for the next run"},
      {"data", "data_placement", &S::data_placement, free, one_of(data_placement_names()),
       "on a GPU: all images in its memory, or streamed to it minibatch by minibatch; auto: what fits"},
      {"data", "flip", &S::flip, fixed, any_text, "mirror half of the real images"},

      {"train", "iterations", &S::iterations, free, at_least(1), "generator steps in all"},
      {"train", "batch_size_d", &S::batch_size_d, fixed, from_to(1, 65536), "real images (and fakes) per D step"},
      {"train", "batch_size_g", &S::batch_size_g, fixed, from_to(1, 65536), "fakes per G step"},
      {"train", "n_critic", &S::n_critic, fixed, from_to(1, 1000), "D steps per G step"},
      {"train", "loss", &S::loss, fixed, one_of({"hinge", "bce", "wasserstein"}), "adversarial loss"},
      {"train", "learning_rate_g", &S::learning_rate_g, fixed, above_to(0, 10), "Adam's step for G"},
      {"train", "learning_rate_d", &S::learning_rate_d, fixed, above_to(0, 10), "Adam's step for D"},
      {"train", "learning_rate_decay", &S::learning_rate_decay, fixed, one_of({"constant", "linear"}),
       "of both learning rates over the iterations"},
      {"train", "decay_start", &S::decay_start, fixed, at_least(0), "iteration after which they fall (linear)"},
      {"train", "decay_end", &S::decay_end, fixed, at_least(0), "and at which they reach 0; 0: as iterations"},
      {"train", "adam_beta1", &S::adam_beta1, fixed, from_below(0, 1), "decay of Adam's first moment"},
      {"train", "adam_beta2", &S::adam_beta2, fixed, from_below(0, 1), "decay of Adam's second moment"},
      {"train", "adam_eps", &S::adam_eps, fixed, above_to(0, 1), "Adam's epsilon"},
      {"train", "ema_decay", &S::ema_decay, fixed, from_below(0, 1), "moving average of G's weights, per iteration"},
      {"train", "ema_start", &S::ema_start, fixed, at_least(0), "iterations during which it is a copy of the weights"},
      {"train", "accumulate", &S::accumulate, fixed, from_to(1, 65536),
       "micro-batches of a step, whose gradients add up: less memory, the same batch sizes"},
      {"train", "diff_augment", &S::diff_augment, fixed, any_text,
       "what D sees is changed at random by: some of color,translation,cutout; or none"},
      {"train", "seed", &S::seed, fixed, at_least(0), "key of every random number"},
      {"train", "threads", &S::threads, free, from_to(0, 4096), "CPU threads; 0: as OMP_NUM_THREADS says, else all"},
      {"train", "device", &S::device, free, one_of({"auto", "cpu", "cuda", "emulated"}),
       "where to compute; auto: cuda if it is there; emulated: the CUDA kernels on the host, slowly"},
      {"train", "precision", &S::precision, free, one_of({"auto", "fp32", "tf32", "bf16"}),
       "of convolutions and matrix products; bf16 also stores activations so; auto: tf32 on cuda, else fp32"},
      {"train", "graph", &S::graph, free, any_text, "on a GPU: replay captured steps instead of launching each kernel"},

      {"sparse", "method", &S::method, fixed, one_of(method_names()), "how G and D are sparse"},
      {"sparse", "density_g", &S::density_g, fixed, above_to(0, 1), "share of G's weights that are alive"},
      {"sparse", "density_d", &S::density_d, fixed, from_to(0, 1), "of D's, at the start; 0: as density_g"},
      {"sparse", "density_rule", &S::density_rule, fixed, one_of(density_rule_names()), "density of each layer"},
      {"sparse", "cell", &S::cell, fixed, any_text, "what lives or dies together: 1x1, 16x16, 16x16-all-taps, .."},
      {"sparse", "execution", &S::execution, fixed, one_of(execution_choice_names()),
       "skip dead blocks: where it is faster (auto), nowhere (dense), wherever masks are (block; cusparse on a GPU)"},
      {"sparse", "mask_head", &S::mask_head, fixed, any_text, "mask D's last linear layer too, as the paper's code"},
      {"sparse", "update_every_g", &S::update_every_g, fixed, at_least(1), "iterations between drop-and-grow in G"},
      {"sparse", "update_every_d", &S::update_every_d, fixed, at_least(0),
       "iterations between decisions about D; 0: the method's"},
      {"sparse", "schedule_iterations", &S::schedule_iterations, fixed, at_least(0),
       "length of the schedules, after which masks stay; 0: as iterations"},
      {"sparse", "drop_fraction", &S::drop_fraction, fixed, from_to(0, 1), "share of alive weights dropped, at first"},
      {"sparse", "drop_fraction_end", &S::drop_fraction_end, fixed, from_to(0, 1), "and at the end"},
      {"sparse", "drop_schedule", &S::drop_schedule, fixed, one_of(schedule_shape_names()), "from one to the other"},
      {"sparse", "selection_scope", &S::selection_scope, fixed, one_of(selection_scope_names()),
       "rank the whole network's weights, or each layer's"},
      {"sparse", "moment_policy", &S::moment_policy, fixed, one_of(moment_policy_names()),
       "Adam's moments of grown weights: v = g^2, kept as under dense gradients, or 0"},
      {"sparse", "band_low", &S::band_low, fixed, from_to(0, 1000),
       "balance ratio from which D shrinks; 0: the method's"},
      {"sparse", "band_high", &S::band_high, fixed, from_to(0, 1000), "and from which D grows; 0: the method's"},
      {"sparse", "density_step", &S::density_step, fixed, above_to(0, 1), "by which D's density changes"},
      {"sparse", "density_floor", &S::density_floor, fixed, above_to(0, 1), "below which it does not fall"},
      {"sparse", "d_max", &S::d_max, fixed, above_to(0, 1), "above which it does not rise (ddst-strict)"},
      {"sparse", "br_every", &S::br_every, fixed, at_least(0), "iterations between balance ratios; 0: none"},
      {"sparse", "br_window", &S::br_window, fixed, at_least(1), "iterations over which decisions average them"},
      {"sparse", "br_mode", &S::br_mode, fixed, one_of(balance_mode_names()), "what decisions read"},
      {"sparse", "posthoc_fine_tune", &S::posthoc_fine_tune, fixed, above_to(0, 10),
       "iterations after pruning, as a share of those before (posthoc)"},

      {"output", "runs", &S::runs, settled, any_text, "folder in which runs get their directories"},
      {"output", "name", &S::name, settled, {.file_name = true}, "name of the run instead of the preset's"},
      {"output", "log_every", &S::log_every, free, at_least(1), "iterations between lines of train.jsonl"},
      {"output", "sample_every", &S::sample_every, free, at_least(0), "iterations between sample grids; 0: ends only"},
      {"output", "sample_count", &S::sample_count, settled, from_to(1, 4096), "images in a sample grid"},
      {"output", "sample_scale", &S::sample_scale, settled, from_to(1, 16), "enlargement of pictures"},
      {"output", "checkpoint_every", &S::checkpoint_every, free, at_least(0),
       "iterations between checkpoints; 0: ends only"},
      {"output", "keep_checkpoints", &S::keep_checkpoints, free, from_to(1, 1000000), "newest checkpoints kept"},
      {"output", "eval_every", &S::eval_every, free, at_least(0),
       "iterations between evaluations, by which the best checkpoint is chosen; 0: off"},
      {"output", "eval_metric", &S::eval_metric, free, one_of(evaluation_names()), "what is evaluated"},
      {"output", "eval_images", &S::eval_images, free, from_to(2, 10000000), "generated images (swd: always 1024)"},
      {"output", "eval_reference", &S::eval_reference, free, any_text,
       "'train': the training images; or statistics (.npz) made by evaluate_gan make-stats"},
      {"output", "inception", &S::inception, free, any_text,
       "weights of Inception, for fid and its kin; auto: ~/.local/share/poise/inception.safetensors"},
  };
}

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\u{:04x}", byte);
    else
      out += c;
  }
  return out + "\"";
}

std::string describe(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return toml_string(*text);
  const char* type = std::holds_alternative<bool>(value) ? "the boolean " : "";
  return type + to_toml(value);
}

bool is_file_name(const std::string& text) {
  const char* allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return text.size() <= 100 && text.find_first_not_of(allowed) == std::string::npos && !text.starts_with('.');
}

bool inside(double x, const Limits& l) {
  const bool above = l.open_least ? x > l.least : x >= l.least;
  const bool below = l.open_most ? x < l.most : x <= l.most;
  return above && below;  // false for NaN
}

// Stores a value of the right type within the limits; otherwise leaves `settings` alone.
bool assign(Settings& settings, const Option& option, const Value& value) {
  const Limits& limits = option.limits;
  if (const auto* field = std::get_if<int64_t Settings::*>(&option.field)) {
    const auto* x = std::get_if<int64_t>(&value);
    if (!x || !inside(static_cast<double>(*x), limits)) return false;
    settings.*(*field) = *x;
  } else if (const auto* real = std::get_if<double Settings::*>(&option.field)) {
    double x = NAN;
    if (const auto* d = std::get_if<double>(&value)) x = *d;
    if (const auto* i = std::get_if<int64_t>(&value)) x = static_cast<double>(*i);  // "beta1 = 0" is a real number
    if (!inside(x, limits)) return false;
    settings.*(*real) = x;
  } else if (const auto* boolean = std::get_if<bool Settings::*>(&option.field)) {
    const auto* x = std::get_if<bool>(&value);
    if (!x) return false;
    settings.*(*boolean) = *x;
  } else {
    const auto* x = std::get_if<std::string>(&value);
    if (!x || (limits.file_name ? !is_file_name(*x) : limits.choices.empty() && x->empty())) return false;
    if (x->find('\0') != std::string::npos) return false;
    const auto& choices = limits.choices;
    if (!choices.empty() && std::find(choices.begin(), choices.end(), *x) == choices.end()) return false;
    settings.*std::get<std::string Settings::*>(option.field) = *x;
  }
  return true;
}

// Text as the option's type if it can be read so, else as text (which `assign` then refuses with both named).
Value parse(const Option& option, const std::string& text) {
  const char *begin = text.data(), *end = begin + text.size();
  if (option.is_boolean()) {
    for (const char* word : {"true", "1", "yes", "on"})
      if (text == word) return true;
    for (const char* word : {"false", "0", "no", "off"})
      if (text == word) return false;
  } else if (!std::holds_alternative<std::string Settings::*>(option.field)) {
    int64_t integer = 0;
    if (const auto r = std::from_chars(begin, end, integer); r.ec == std::errc() && r.ptr == end) return integer;
    double real = 0;
    if (const auto r = std::from_chars(begin, end, real); r.ec == std::errc() && r.ptr == end) return real;
  }
  return text;
}

}  // namespace

const std::vector<Option>& option_table() {
  static const std::vector<Option> table = make_table();
  return table;
}

const Option* find_option(const std::string& key) {
  for (const Option& option : option_table())
    if (option.key == key) return &option;
  return nullptr;
}

std::vector<std::string> option_keys() {
  std::vector<std::string> keys;
  for (const Option& option : option_table()) keys.push_back(option.key);
  return keys;
}

std::string Option::flag() const {
  std::string text = "--" + key;
  for (char& c : text)
    if (c == '_') c = '-';
  return text;
}

std::string Option::environment() const {
  std::string text = "POISE_" + key;
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

std::string Option::expected() const {
  if (is_boolean()) return "true or false";
  if (!limits.choices.empty()) return join_alternatives(limits.choices);
  if (limits.file_name) return "a word of at most 100 letters, digits, '.', '_' and '-'";
  if (std::holds_alternative<std::string Settings::*>(field)) return "text";
  const bool integer = std::holds_alternative<int64_t Settings::*>(field);
  std::string text = integer ? "an integer" : "a real number";
  text += fmt::format("{} {}", limits.open_least ? " above" : " from", limits.least);
  if (limits.most < kLargestExactInteger)
    text += fmt::format(" {} {}", limits.open_most ? "to below" : "to", limits.most);
  return text;
}

Value value_of(const Settings& settings, const Option& option) {
  return std::visit([&](auto field) { return Value(settings.*field); }, option.field);
}

std::string to_toml(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return fmt::format("{}", *integer);
  if (const auto* boolean = std::get_if<bool>(&value)) return *boolean ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&value)) return toml_string(*text);
  std::string real = fmt::format("{}", std::get<double>(value));  // the shortest digits that read back the same
  if (real.find_first_of(".einf") == std::string::npos) real += ".0";
  return real;
}

OptionSet::OptionSet() : origins_(option_table().size(), "default") {}

const std::string& OptionSet::origin(const std::string& key) const {
  const Option* option = find_option(key);
  require(option, "the origin of an unknown option was asked for");
  return origins_[static_cast<size_t>(option - option_table().data())];
}

bool OptionSet::is_default(const Option& option) const {
  return value_of(settings_, option) == value_of(Settings{}, option);
}

void OptionSet::set(const std::string& key, const Value& value, const std::string& origin) {
  const Option* option = find_option(key);
  if (!option) {
    return add_problem(fmt::format("unknown option {}{} [{}]", key, did_you_mean(key, option_keys()), origin));
  }
  if (assign(settings_, *option, value)) {
    origins_[static_cast<size_t>(option - option_table().data())] = origin;
  } else {
    const auto* text = std::get_if<std::string>(&value);
    const std::string hint = text ? did_you_mean(*text, option->limits.choices) : "";
    add_problem(
        fmt::format("{}: expected {} but got {}{} [{}]", key, option->expected(), describe(value), hint, origin));
  }
}

void OptionSet::set_text(const std::string& key, const std::string& text, const std::string& origin) {
  const Option* option = find_option(key);
  set(key, option ? parse(*option, text) : Value(text), origin);
}

void OptionSet::throw_if_problems() const {
  if (problems_.empty()) return;
  if (problems_.size() == 1) fail(ErrorKind::usage, problems_[0]);
  std::string text = fmt::format("{} problems with the options:", problems_.size());
  for (const std::string& problem : problems_) text += "\n  " + problem;
  fail(ErrorKind::usage, text);
}

std::string OptionSet::to_toml(bool with_origins) const {
  std::string text, group;
  for (size_t i = 0; i < option_table().size(); ++i) {
    const Option& option = option_table()[i];
    if (option.group != group) text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", option.group);
    group = option.group;
    const std::string line = fmt::format("{} = {}", option.key, poise::to_toml(value_of(settings_, option)));
    text += with_origins ? fmt::format("{:<32}  # {}\n", line, origins_[i]) : line + "\n";
  }
  return text;
}

std::string fixed_settings(const Settings& settings) {
  std::string text;
  for (const Option& option : option_table()) {
    if (option.on_resume != OnResume::fixed) continue;
    text += fmt::format("{}={}\n", option.key, to_toml(value_of(settings, option)));
  }
  return text;
}

std::string config_hash(const Settings& settings) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : fixed_settings(settings)) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return fmt::format("{:016x}", hash);
}

}  // namespace poise
