// Generated images as the input of a metric.
#pragma once
#include "apps/evaluation/feature_set.h"
#include "apps/training/trainer.h"

namespace poise {

struct GeneratedOptions {
  int64_t count = 10000;
  Weights weights = Weights::ema;
  Mode mode = Mode::evaluate_batch;
  Quantisation quantisation = Quantisation::truncate;  // as in the paper's code
  int64_t seed = 0;
};

// Batches have kBatchNormBatch images. The last one is filled up, so that each image is batched with the same images as
// in a larger set. Mode::evaluate_running measures the statistics once, so the first read makes all images.
ImageInput generated_input(Trainer& trainer, const std::string& source, const GeneratedOptions& options);

}  // namespace poise
