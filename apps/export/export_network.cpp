#include "apps/export/export_network.h"

#include "apps/console/program.h"
#include "apps/export/onnx_generator.h"
#include "apps/export/reference_tensors.h"
#include "apps/run/checkpoint_sampler.h"
#include "apps/run/compact_generator.h"
#include "apps/run/run_state.h"
#include "engine/io/atomic_file.h"

namespace poise {
namespace {

std::vector<TensorBytes> views_of(const std::vector<NamedWeights>& tensors) {
  std::vector<TensorBytes> views;
  for (const NamedWeights& t : tensors) views.push_back({t.name, DType::f32, t.shape, t.values.data()});
  return views;
}

size_t safetensors_bytes(const std::vector<TensorBytes>& tensors, const StringMap& metadata) {
  size_t bytes = safetensors_header(tensors, metadata).size();
  for (const TensorBytes& t : tensors) bytes += t.size_bytes();
  return bytes;
}

// D's parameters and buffers in a checkpoint, by path.
std::vector<NamedWeights> discriminator_of(const SafetensorsFile& file, Discriminator& network) {
  std::vector<NamedWeights> all;
  const auto add = [&](const std::string& path) {
    all.push_back(stored_weights(file, "D." + path));
    all.back().name = path;
  };
  network.for_each_parameter([&](const Parameter& p) { add(p.path); });
  network.for_each_buffer([&](const StateBuffer& b) { add(b.path); });
  return all;
}

}  // namespace

ExportResult export_network(const ExportRequest& request) {
  const SafetensorsFile checkpoint = load_checkpoint(request.source, "inspect_run");
  if (is_sparse_export(checkpoint) && request.format == ExportFormat::compact) {
    fail(ErrorKind::usage, request.source + ": is compact already");
  }
  if (is_sparse_export(checkpoint) && request.network == "D") {
    fail(ErrorKind::usage, request.source + ": a compact file holds G alone; give the run");
  }
  const ModelOptions model = settings_of_checkpoint(checkpoint).model;
  const std::unique_ptr<Trainer> trainer = sampler_of(checkpoint, request.device);
  ExportResult result{.model = model.name, .iteration = trainer->iteration()};
  const bool generator = request.network == "G";
  const std::string weights = generator && request.weights == Weights::ema ? "ema" : "live";

  const std::vector<NamedWeights> ours = generator ? trainer->weights_for_sampling(request.weights)
                                                   : discriminator_of(checkpoint, *make_model(model).discriminator);
  const std::vector<NamedWeights> theirs = reference_tensors(model.name, request.network, ours, request.spectral_norm);
  const std::vector<TensorBytes> views = views_of(theirs);
  const StringMap metadata = {{"format", "pt"},
                              {"model", model.name},
                              {"network", request.network},
                              {"weights", weights},
                              {"iteration", std::to_string(result.iteration)},
                              {"latent_size", std::to_string(model.latent_size)},
                              {"classes", std::to_string(model.classes)},
                              {"poise", version()}};
  result.dense_bytes = safetensors_bytes(views, metadata);
  const auto compact = [&](const std::string& path) {
    return write_compact_generator(path, checkpoint, request.weights, trainer->options().sparse.cell);
  };
  if (generator && !is_sparse_export(checkpoint)) result.compact_bytes = compact("");
  switch (request.format) {
    case ExportFormat::safetensors:
      write_safetensors(request.output, views, metadata);
      result.bytes = result.dense_bytes;
      break;
    case ExportFormat::compact:
      result.bytes = compact(request.output);
      break;
    case ExportFormat::onnx: {
      StringMap of_graph = metadata;
      of_graph.erase("format");
      const std::string bytes = onnx_generator(model, ours, of_graph, version());
      write_file_atomically(request.output, bytes);
      result.bytes = bytes.size();
      break;
    }
  }
  return result;
}

}  // namespace poise
