#include "apps/run/compact_generator.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <map>

#include "engine/io/message.h"

namespace poise {
namespace {

constexpr std::string_view kMasks = "G.mask.", kAverages = "G.ema.", kExecution = "G.execution";

[[noreturn]] void refuse_compact(const SafetensorsFile& file, const std::string& what) {
  fail(ErrorKind::checkpoint, fmt::format("{}: {}; export it again", file.source(), what));
}

// Is this tensor of a checkpoint a parameter or buffer of G?
bool is_of_generator(const std::string& name) {
  if (!name.starts_with("G.") || name == kExecution) return false;
  for (const std::string_view other : {kMasks, kAverages, std::string_view("G.adam_m."), std::string_view("G.adam_v.")})
    if (name.starts_with(other)) return false;
  return true;
}

std::string to_hexadecimal(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(b));
  return text;
}

std::vector<uint8_t> from_hexadecimal(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t at = 0; at + 1 < text.size(); at += 2) {
    unsigned value = 0;
    std::from_chars(text.data() + at, text.data() + at + 2, value, 16);
    bytes.push_back(static_cast<uint8_t>(value));
  }
  return bytes;
}

std::string metadata_of(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? "" : found->second;
}

int64_t iteration_of(const SafetensorsFile& file) {
  const std::string text = metadata_of(file, "iteration");
  int64_t value = -1;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  constexpr int64_t kMost = int64_t{1} << 40;
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || value < 0 || value > kMost) {
    refuse_compact(file, "expected an iteration in its metadata, found " + in_quotes(text));
  }
  return value;
}

}  // namespace

NamedWeights stored_weights(const SafetensorsFile& checkpoint, const std::string& name) {
  const TensorView& view = checkpoint.at(name);
  if (view.dtype != DType::f32) refuse_compact(checkpoint, name + ": expected f32");
  NamedWeights tensor{
      .name = name, .shape = view.shape, .values = std::vector<float>(view.bytes.size() / sizeof(float))};
  std::memcpy(tensor.values.data(), view.bytes.data(), view.bytes.size());
  return tensor;
}

std::vector<NamedWeights> stored_generator(const SafetensorsFile& checkpoint, Weights weights) {
  std::vector<NamedWeights> all;
  for (const std::string& name : checkpoint.names()) {
    if (!is_of_generator(name)) continue;
    const std::string average = std::string(kAverages) + name.substr(2);
    const bool averaged = weights == Weights::ema && checkpoint.find(average);
    all.push_back(stored_weights(checkpoint, averaged ? average : name));
    all.back().name = name;
  }
  return all;
}

size_t write_compact_generator(const std::string& path, const SafetensorsFile& checkpoint, Weights weights,
                               const Cell& cell) {
  StringMap metadata;
  for (const auto& [key, value] : checkpoint.metadata()) {
    const bool says_what = key == "iteration" || key == "class_names" || key == "data_crc";
    if (key.starts_with("option.") || says_what) metadata[key] = value;
  }
  metadata["weights"] = weights == Weights::ema ? "ema" : "live";
  if (const TensorView* choices = checkpoint.find(std::string(kExecution)))
    metadata["execution"] = to_hexadecimal(choices->bytes);
  return export_sparse(path, stored_generator(checkpoint, weights), cell, metadata);
}

Weights weights_of_file(const SafetensorsFile& file, bool asked, Weights wanted) {
  if (!is_sparse_export(file)) return wanted;
  const std::string stored = metadata_of(file, "weights");
  const Weights there = stored == "live" ? Weights::live : Weights::ema;
  if (asked && wanted != there) {
    fail(ErrorKind::usage, fmt::format("--weights: {} holds {} weights only", file.source(), stored));
  }
  return there;
}

void restore_compact_generator(const SafetensorsFile& file, Trainer& trainer) {
  std::map<std::string, NamedWeights> tensors;
  for (NamedWeights& tensor : read_sparse(file)) {
    std::string name = tensor.name;
    tensors.emplace(std::move(name), std::move(tensor));
  }
  const int64_t iteration = iteration_of(file);
  const std::vector<uint8_t> choices = from_hexadecimal(metadata_of(file, "execution"));
  const auto named = [&](const std::string& name, const Tensor& tensor) -> const NamedWeights& {
    const auto found = tensors.find(name);
    if (found == tensors.end()) refuse_compact(file, "expected the tensor " + name + ", found none");
    if (static_cast<int64_t>(found->second.values.size()) != tensor.elements())
      refuse_compact(
          file, fmt::format("{}: expected {} values, found {}", name, tensor.elements(), found->second.values.size()));
    return found->second;
  };
  for (const auto& [name, tensor] : trainer.state()) {
    if (name.starts_with(kMasks)) {
      const auto found = tensors.find("G." + name.substr(kMasks.size()));
      if (found == tensors.end()) refuse_compact(file, "expected a weight for the mask " + name + ", found none");
      const NamedWeights& weight = found->second;
      const std::vector<uint8_t> alive = alive_cells(weight, trainer.options().sparse.cell);
      require(static_cast<int64_t>(alive.size()) == tensor.elements(), "a mask has a byte for each cell");
      copy_from_host(tensor, alive.data());
    } else if (name == kExecution) {
      if (choices.size() != tensor.size_bytes()) refuse_compact(file, "its execution does not fit its layers");
      copy_from_host(tensor, choices.data());
    } else if (name.starts_with(kAverages)) {
      copy_from_host(tensor, named("G." + name.substr(kAverages.size()), tensor).values.data());
    } else if (is_of_generator(name)) {
      copy_from_host(tensor, named(name, tensor).values.data());
    }
  }
  StepState state = trainer.step_state();
  state.step = static_cast<uint64_t>(iteration * (trainer.options().train.n_critic + 1));
  trainer.set_step_state(state);
}

}  // namespace poise
