// Images of a generator as the input of a metric.
#pragma once
#include "apps/evaluation/feature_set.h"
#include "apps/training/trainer.h"

namespace poise {

struct GeneratedOptions {
  int64_t count = 10000;
  Weights weights = Weights::ema;
  Mode mode = Mode::evaluate_batch;
  Quantisation quantisation = Quantisation::truncate;  // as the paper's code
  int64_t seed = 0;
};

// Batches of kBatchNormBatch, the last one filled up, so that each image has the company that it would have in a larger
// set. Mode::evaluate_running measures the statistics once and therefore makes all images at the first read.
ImageInput generated_input(Trainer& trainer, const std::string& source, const GeneratedOptions& options);

}  // namespace poise
