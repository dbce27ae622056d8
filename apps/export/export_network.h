// Exports a trained network to a file.
//
//   safetensors   dense, with the names and layouts of the papers' PyTorch code (apps/export/reference_tensors.h)
//   compact       Poise's own format, without the zeros of the masks (apps/run/compact_generator.h)
//   onnx          G as a graph (apps/export/onnx_generator.h)
#pragma once
#include <optional>
#include <string>

#include "apps/export/channels_first.h"
#include "apps/training/sampling.h"

namespace poise {

enum class ExportFormat : uint8_t { safetensors, compact, onnx };

struct ExportRequest {
  std::string source, output;  // a run directory or checkpoint; a file
  ExportFormat format = ExportFormat::safetensors;
  std::string network = "G";  // or "D", which has live weights only; compact and onnx: "G"
  Weights weights = Weights::ema;
  SpectralNormForm spectral_norm = SpectralNormForm::original;
  std::optional<Device> device;  // on which to measure the running statistics; nothing: auto
};

struct ExportResult {
  std::string model;
  int64_t iteration = 0;
  size_t bytes = 0;                           // of the file
  size_t dense_bytes = 0, compact_bytes = 0;  // G as safetensors and compact; D as safetensors only
};

// Error(checkpoint) as for load_checkpoint().
ExportResult export_network(const ExportRequest& request);

}  // namespace poise
