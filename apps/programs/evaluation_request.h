// The command line of evaluate_gan.
#pragma once
#include <string>
#include <vector>

#include "apps/console/command_line.h"
#include "apps/evaluation/feature_metric.h"
#include "apps/evaluation/generated_input.h"

namespace poise {

// A named choice of the reference and the numbers of images, which makes values comparable by name.
struct EvaluationProtocol {
  std::string name, help;
  std::string split;                         // split of CIFAR-10
  int64_t reference_set = 0;                 // number of images in the split
  int64_t reference_images = 0, images = 0;  // how many to use: of the split, spread evenly, and to measure
};
const std::vector<EvaluationProtocol>& evaluation_protocols();

struct EvaluationRequest {
  bool make_statistics = false;
  std::string source, output;
  std::string reference;  // "": a run's own training images
  std::string dataset = "auto", split = "auto", inception, protocol = "none";
  std::optional<Device> device;
  int threads = 0;                   // 0: OMP_NUM_THREADS, or all cores without it
  std::vector<std::string> metrics;  // empty: those that the weights support
  int64_t image_size = 0, reference_images = 0;
  GeneratedOptions generated;                // count 0: all images of a set, 10,000 of a generator
  std::vector<std::string> generator_flags;  // given flags that affect generated images only
  bool weights_asked = false;
  MetricOptions metric_options;
  bool json = false, quiet = false;
};

// True if --reference names statistics rather than images.
bool is_statistics(const std::string& reference);

CommandLineSpec evaluation_command_line();
// Error(usage) with all problems.
EvaluationRequest evaluation_request_of(const CommandLine& args, bool make_statistics);

}  // namespace poise
