#include "apps/run/run_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "apps/options/load_images.h"
#include "engine/io/message.h"

namespace poise {
namespace {

std::string hexadecimal(double value) { return fmt::format("{:a}", value); }

constexpr struct {
  Network network;
  const char* name;
} kNetworks[] = {{Network::generator, "G"}, {Network::discriminator, "D"}};

StringMap step_state_metadata(const StepState& state) {
  StringMap map;
  map["step_state.seed"] = std::to_string(state.seed);
  map["step_state.step"] = std::to_string(state.step);
  map["step_state.d_batches"] = std::to_string(state.d_batches);
  for (const auto& [network, name] : kNetworks) {
    const OptimizerClock& clock = state.clocks[static_cast<int>(network)];
    const std::string prefix = fmt::format("step_state.{}.", name);
    map[prefix + "t"] = std::to_string(clock.t);
    map[prefix + "learning_rate"] = hexadecimal(clock.learning_rate);
    map[prefix + "beta1_power"] = hexadecimal(clock.beta1_power);
    map[prefix + "beta2_power"] = hexadecimal(clock.beta2_power);
  }
  return map;
}

[[noreturn]] void refuse(const SafetensorsFile& file, const std::string& what) {
  fail(ErrorKind::checkpoint, file.source() + ": " + what);
}

const std::string& metadata_text(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    refuse(file, fmt::format("expected metadata {}, found none; the file is not a training checkpoint", key));
  }
  return found->second;
}

// "" if the checkpoint has no value for a younger option, which then has its default.
std::string stored_text(const SafetensorsFile& file, const Option& option) {
  const std::string key = "option." + option.key;
  return option.younger && !file.metadata().contains(key) ? "" : metadata_text(file, key);
}

uint64_t metadata_integer(const SafetensorsFile& file, const std::string& key) {
  const std::string& text = metadata_text(file, key);
  char* end = nullptr;
  errno = 0;
  const uint64_t value = std::strtoull(text.c_str(), &end, 10);
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || errno != 0) refuse(file, fmt::format("{}: expected an integer, found {}", key, in_quotes(text)));
  return value;
}

double metadata_real(const SafetensorsFile& file, const std::string& key) {
  const std::string& text = metadata_text(file, key);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value)) {
    refuse(file, fmt::format("{}: expected a finite number, found {}", key, in_quotes(text)));
  }
  return value;
}

StepState step_state_of(const SafetensorsFile& file) {
  StepState state;
  state.seed = metadata_integer(file, "step_state.seed");
  state.step = metadata_integer(file, "step_state.step");
  state.d_batches = metadata_integer(file, "step_state.d_batches");
  for (const auto& [network, name] : kNetworks) {
    OptimizerClock& clock = state.clocks[static_cast<int>(network)];
    const std::string prefix = fmt::format("step_state.{}.", name);
    clock.t = metadata_integer(file, prefix + "t");
    clock.learning_rate = metadata_real(file, prefix + "learning_rate");
    clock.beta1_power = metadata_real(file, prefix + "beta1_power");
    clock.beta2_power = metadata_real(file, prefix + "beta2_power");
  }
  return state;
}

std::string json_text(const std::vector<std::string>& words) {
  return nlohmann::json(words).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<int64_t> extents(const Shape& shape) {
  std::vector<int64_t> dims;
  for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
  return dims;
}

std::string shape_text(const std::vector<int64_t>& dims) { return fmt::format("[{}]", fmt::join(dims, ",")); }

bool is_finite(const Tensor& tensor, const char* bytes) {
  if (tensor.dtype != DType::f32) return true;
  float sum = 0;  // x - x is 0 for every finite x, NaN for all others
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    float x;
    std::memcpy(&x, bytes + i * static_cast<int64_t>(sizeof x), sizeof x);
    sum += x - x;
  }
  return sum == 0;
}

}  // namespace

std::string crc_text(uint32_t crc) { return fmt::format("{:08x}", crc); }

std::string save_state(CheckpointStore& store, Trainer& trainer, const Settings& settings, const ImageSet& images) {
  std::vector<std::vector<char>> copies;  // of tensors that are not in host memory
  std::vector<TensorBytes> tensors;
  for (const auto& [name, tensor] : trainer.state()) {
    const void* bytes = tensor.bytes;
    if (tensor.device != Device::cpu) {
      copies.emplace_back(tensor.size_bytes());
      copy_to_host(copies.back().data(), tensor);
      bytes = copies.back().data();
    }
    if (!is_finite(tensor, static_cast<const char*>(bytes))) {
      fail(ErrorKind::runtime, fmt::format("iteration {}: {} is not finite (training diverged); try a lower "
                                           "learning_rate_g or learning_rate_d",
                                           trainer.iteration(), name));
    }
    tensors.push_back({name, tensor.dtype, extents(tensor.shape), bytes});
  }
  StringMap metadata = step_state_metadata(trainer.step_state());
  metadata["iteration"] = std::to_string(trainer.iteration());
  const FixedSettings fixed = fixed_settings(settings);
  metadata["config_hash"] = config_hash(fixed);
  metadata["data_crc"] = crc_text(images.crc);
  if (settings.model.classes > 0) metadata["class_names"] = json_text(images.class_names);
  for (const auto& [option, value] : fixed) metadata["option." + option->key] = value;
  return store.save(trainer.iteration(), tensors, metadata);
}

void check_same_run(const SafetensorsFile& file, const Settings& settings, uint32_t data_crc) {
  const Settings then = settings_of_checkpoint(file);
  FixedSettings stored;
  for (const Option& option : option_table()) {
    if (option.on_resume != OnResume::fixed) continue;
    const std::string now = to_toml(value_of(settings, option));
    const std::string text = stored_text(file, option);
    if (!text.empty()) stored.emplace_back(&option, text);
    if (value_of(then, option) == value_of(settings, option)) continue;  // regardless of spelling
    refuse(file, fmt::format("it was made with {} = {} but the run's config.toml says {}; correct config.toml or "
                             "start a new run",
                             option.key, in_quotes(text.empty() ? to_toml(value_of(then, option)) : text), now));
  }
  if (metadata_text(file, "config_hash") != config_hash(stored)) {
    refuse(file, fmt::format("it has config_hash {} but its options give {}; start a new run",
                             in_quotes(metadata_text(file, "config_hash")), config_hash(stored)));
  }
  if (metadata_text(file, "data_crc") != crc_text(data_crc)) {
    refuse(file,
           fmt::format("it was trained on data with crc {} but {} has crc {}; give the same data with --data",
                       in_quotes(metadata_text(file, "data_crc")), data_folder(settings.data), crc_text(data_crc)));
  }
}

// Execution paths are state if there is a choice, which depends on device and build; otherwise they are decided again.
bool is_execution(const std::string& name) { return name.ends_with(".execution"); }

void restore_state(const SafetensorsFile& file, Trainer& trainer) {
  const StepState step_state = step_state_of(file);
  const uint64_t iteration = metadata_integer(file, "iteration");
  std::vector<NamedTensor> state = trainer.state();
  const auto names = file.names();
  std::erase_if(state, [&](const NamedTensor& t) {
    const bool missing = is_execution(t.name) && std::find(names.begin(), names.end(), t.name) == names.end();
    if (missing) std::memset(t.tensor.bytes, NetworkExecution::kUndecided, t.tensor.size_bytes());
    return missing;
  });
  const auto extra = std::count_if(names.begin(), names.end(), [&](const std::string& name) {
    return is_execution(name) &&
           std::none_of(state.begin(), state.end(), [&](const auto& t) { return t.name == name; });
  });
  if (state.size() + static_cast<size_t>(extra) != names.size()) {
    refuse(file, fmt::format("expected {} tensors, found {}", state.size(), names.size()));
  }
  for (const auto& [name, tensor] : state) {
    const TensorView& view = file.at(name);
    if (view.dtype != tensor.dtype || view.shape != extents(tensor.shape)) {
      refuse(file, fmt::format("{}: expected {} {}, found {} {}", name, name_of(tensor.dtype), tensor.shape.to_string(),
                               name_of(view.dtype), shape_text(view.shape)));
    }
  }
  for (const auto& [name, tensor] : state) copy_from_host(tensor, file.at(name).bytes.data());
  trainer.set_step_state(step_state);
  if (static_cast<uint64_t>(trainer.iteration()) != iteration) {
    refuse(file, fmt::format("expected iteration {} after {} steps, found {}", trainer.iteration(), step_state.step,
                             iteration));
  }
}

std::vector<std::string> class_names_of_checkpoint(const SafetensorsFile& file) {
  const auto found = file.metadata().find("class_names");
  if (found == file.metadata().end()) return {};
  const nlohmann::json names = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  std::vector<std::string> result;
  for (const auto& name : names.is_array() ? names : nlohmann::json::array()) {
    if (name.is_string()) result.push_back(name.get<std::string>());
  }
  return result;
}

Settings settings_of_checkpoint(const SafetensorsFile& file) {
  OptionSet options;
  for (const Option& option : option_table()) {
    if (option.on_resume != OnResume::fixed) continue;
    std::string text = stored_text(file, option);
    if (text.empty()) continue;
    // Values are stored as in a config file. Texts of fixed options contain no escapes.
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
    options.set_text(option.key, text, file.source());
  }
  if (!options.problems().empty()) refuse(file, options.problems()[0]);
  return options.settings();
}

}  // namespace poise
