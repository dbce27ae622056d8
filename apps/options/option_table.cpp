// The table of options: key, limits, help, and whether a resumed run may have another value.
#include "apps/console/flag_reader.h"
#include "apps/evaluation/feature_metric.h"
#include "apps/options/options.h"
#include "apps/training/sparse_methods.h"
#include "data/registry.h"
#include "models/registry.h"

namespace poise {
namespace {

using Rows = std::vector<Option>;
constexpr bool younger = true;
constexpr OnResume fixed = OnResume::fixed, free = OnResume::free, settled = OnResume::settled;

// An option's key and its field, which have the same name.
#define FIELD(group, name) #name, field_at([](auto& s) -> auto& { return s.group.name; })

Limits from_to(double least, double most) { return {.least = least, .most = most}; }
Limits at_least(double least) { return {.least = least, .most = kLargestExactInteger}; }
Limits above_to(double least, double most) { return {.least = least, .most = most, .open_least = true}; }
Limits from_below(double least, double most) { return {.least = least, .most = most, .open_most = true}; }
Limits one_of(std::vector<std::string> choices) { return {.choices = std::move(choices)}; }

Limits single(Limits limits) {
  limits.single = true;
  return limits;
}
// A path, or `word`, which is not a path.
Limits path_or(const char* word) { return {.path = Limits::Path::absolute, .word = word}; }

const Limits any;  // any value of the type

bool has_masks(const Settings& s) { return sparse_method(s.sparse.method).g || sparse_method(s.sparse.method).d; }
const FeatureMetric* metric_of(const Settings& s) { return find_feature_metric(s.evaluation.eval_metric); }

const Effect masks{"a sparse method", has_masks};
const Effect masks_d{"a method that masks D",
                     [](const Settings& s) { return sparse_method(s.sparse.method).d != nullptr; }};
// The effect of an option that only mask policies read; the policies themselves say which. `what`: what their methods
// do, if there are several.
Effect read_by_policies(const std::string& key, const std::string& what = "method") {
  std::string names;
  for (const std::string& name : method_names()) {
    if (method_reads({.method = name}, key)) names += (names.empty() ? "" : ", ") + name;
  }
  return {what == "method" ? "method " + names : what + " (" + names + ")",
          [key](const Settings& s) { return method_reads(s.scheduled_sparse(), key); }};
}
constexpr const char *kRewires = "a method that drops and grows weights",
                     *kControls = "a method that controls D's density", *kUpdates = "a method that updates these masks";

const Effect evaluation{"eval_every above 0", [](const Settings& s) { return s.evaluation.eval_every > 0; }};
const Effect generated{"eval_every above 0 and an eval_metric other than swd",
                       [](const Settings& s) { return s.evaluation.eval_every > 0 && metric_of(s); }};
const Effect referred{"eval_every above 0 and an eval_metric with a reference", [](const Settings& s) {
                        return s.evaluation.eval_every > 0 && metric_of(s) && metric_of(s)->needs_reference();
                      }};
const Effect inception{"eval_every above 0 and an eval_metric of Inception's features", [](const Settings& s) {
                         return s.evaluation.eval_every > 0 && metric_of(s) && !metric_of(s)->random;
                       }};

std::vector<std::string> evaluation_names() {
  std::vector<std::string> names = {"swd"};
  for (const FeatureMetric& metric : feature_metrics()) names.push_back(metric.name);
  return names;
}

Rows model_rows() {
  return {
      {"model", "model", field_at([](auto& s) -> auto& { return s.model.name; }), fixed, one_of(model_names()),
       "the pair of networks"},
      {"model", FIELD(model, width_g), fixed, from_to(1, 4096), "channels of the generator"},
      {"model", FIELD(model, width_d), fixed, from_to(1, 4096), "channels of the discriminator"},
      {"model", FIELD(model, latent_size), fixed, from_to(1, 65536), "dimensions of the latent z"},
      {"model", FIELD(model, classes), fixed, from_to(0, 1000000),
       "classes of a conditional model; 0: those of the data, and for all other models"},
      {"model", FIELD(model, init), fixed, any, "initialisation of the weights"},
  };
}

Rows data_rows() {
  return {
      {"data", FIELD(data, dataset), fixed, one_of(data_set_names()), "data set"},
      {"data", FIELD(data, split), fixed, one_of(split_names()),
       "split of the data set; auto: what the paper trains on"},
      {"data", FIELD(data, data), free, path_or("sample"),
       "folder of the files, or 'sample': the images that come with Poise"},
      {"data",
       FIELD(data, only_classes),
       fixed,
       any,
       "classes to train on, by number or name, as 1,3-5 or cat,dog; or all",
       {},
       younger},
      {"data", FIELD(data, image_size), fixed, from_to(0, 1024), "side images are resized to; 0: the model's"},
      {"data", FIELD(data, data_cache), free, any, "keep resized images in ~/.cache/poise for the next run"},
      {"data", FIELD(data, data_placement), free, any,
       "on a GPU: all images in its memory, or streamed to it minibatch by minibatch; auto: what fits"},
      {"data", FIELD(data, flip), fixed, any, "mirror half of the real images"},
  };
}

Rows train_rows() {
  return {
      {"train", FIELD(train, iterations), free, at_least(1), "generator steps of the whole run"},
      {"train", FIELD(train, batch_size_d), fixed, from_to(1, 65536), "real images (and fakes) per D step"},
      {"train", FIELD(train, batch_size_g), fixed, from_to(1, 65536), "fakes per G step"},
      {"train", FIELD(train, n_critic), fixed, from_to(1, 1000), "D steps per G step"},
      {"train", FIELD(train, loss), fixed, any, "adversarial loss"},
      {"train", FIELD(train, learning_rate_g), fixed, single(above_to(0, 10)), "learning rate of G"},
      {"train", FIELD(train, learning_rate_d), fixed, single(above_to(0, 10)), "learning rate of D"},
      {"train", FIELD(train, learning_rate_decay), fixed, any, "schedule of both learning rates"},
      {"train", FIELD(train, decay_start), fixed, at_least(0),
       "iteration after which the learning rates fall (linear)"},
      {"train", FIELD(train, decay_end), fixed, at_least(0), "iteration at which they reach 0; 0: the last"},
      {"train", FIELD(train, adam_beta1), fixed, single(from_below(0, 1)), "decay of Adam's first moment"},
      {"train", FIELD(train, adam_beta2), fixed, single(from_below(0, 1)), "decay of Adam's second moment"},
      {"train", FIELD(train, adam_eps), fixed, single(above_to(0, 1)), "Adam's epsilon"},
      {"train", FIELD(train, ema_decay), fixed, single(from_below(0, 1)),
       "moving average of G's weights, per iteration"},
      {"train", FIELD(train, ema_start), fixed, at_least(0),
       "until this iteration the moving average is a copy of the weights"},
      {"train", FIELD(train, accumulate), fixed, from_to(1, 65536),
       "micro-batches of a step, whose gradients are summed: less memory, the same batch sizes"},
      {"train",
       FIELD(train, sync_batch_norm),
       fixed,
       any,
       "with several ranks: batch norm takes its statistics over all of them",
       {},
       younger},
      {"train",
       FIELD(train, exchange_precision),
       fixed,
       any,
       "with several ranks: what gradients travel as; bf16: half of the bytes, each rounded before and after the sum",
       {},
       younger},
      {"train", FIELD(train, diff_augment), fixed, any,
       "what D sees is changed at random by: some of color,translation,cutout; or none"},
      {"train", FIELD(train, seed), fixed, at_least(0), "seed of every random number"},
      {"train", FIELD(train, rank_timeout), free, from_to(1, 86400),
       "with several ranks: seconds to wait for one that does not answer"},
      {"train", FIELD(train, threads), free, from_to(0, kMostThreads),
       "CPU threads; 0: as OMP_NUM_THREADS says, else all"},
      {"train", FIELD(train, device), free, any,
       "where to compute; auto: cuda if it is there; emulated: the CUDA kernels on the host, slowly"},
      {"train", FIELD(train, precision), free, any,
       "of convolutions and matrix products; bf16 also stores activations in bf16; auto: tf32 on cuda, else fp32"},
      {"train", FIELD(train, graph), free, any, "on a GPU: replay captured steps instead of launching each kernel"},
  };
}

Rows sparse_rows() {
  return {
      {"sparse", FIELD(sparse, method), fixed, one_of(method_names()), "sparse training method"},
      {"sparse", FIELD(sparse, density_g), fixed, above_to(0, 1),
       "share of G's weights that are alive; at the end, where the method prunes"},
      {"sparse", FIELD(sparse, density_d), fixed, from_to(0, 1),
       "of D's, at the start or at the end; 0: as density_g, or 1 where the method leaves D dense"},
      {"sparse", FIELD(sparse, density_rule), fixed, any, "how the density is distributed over layers", masks},
      {"sparse", FIELD(sparse, cell), fixed, any, "granularity of masks: 1x1, 16x16, 16x16-all-taps, ..", masks},
      {"sparse", FIELD(sparse, execution), fixed, any,
       "sparse kernels: where they are faster (auto), never (dense), on every masked layer (weights "
       "on the CPU; on blocks block, or cusparse on a GPU)",
       masks},
      {"sparse", FIELD(sparse, mask_head), fixed, any, "mask D's last linear layer too, as the paper's code", masks_d},
      {"sparse", FIELD(sparse, update_every_g), fixed, at_least(1), "iterations between updates of G's masks",
       read_by_policies("update_every_g", kUpdates)},
      {"sparse", FIELD(sparse, update_every_d), fixed, at_least(0),
       "iterations between updates of D's masks; 0: the method's", read_by_policies("update_every_d", kUpdates)},
      {"sparse", FIELD(sparse, schedule_iterations), fixed, at_least(0),
       "length of the schedules, after which masks stay; 0: as iterations",
       read_by_policies("schedule_iterations", "a method whose masks change")},
      {"sparse", FIELD(sparse, drop_fraction), fixed, from_to(0, 1),
       "share of alive weights dropped at the first update", read_by_policies("drop_fraction", kRewires)},
      {"sparse", FIELD(sparse, drop_fraction_end), fixed, from_to(0, 1), "drop fraction at the end of the schedule",
       read_by_policies("drop_fraction_end", kRewires)},
      {"sparse", FIELD(sparse, drop_schedule), fixed, any,
       "how the drop fraction goes from the first to the last value", read_by_policies("drop_schedule", kRewires)},
      {"sparse", FIELD(sparse, selection_scope), fixed, any, "rank the whole network's weights, or each layer's",
       read_by_policies("selection_scope", kRewires)},
      {"sparse", FIELD(sparse, moment_policy), fixed, any,
       "Adam's moments of grown weights: v = g^2, kept as under dense gradients, or 0", masks},
      {"sparse", FIELD(sparse, band_low), fixed, from_to(0, 1000),
       "balance ratio from which D shrinks; 0: the method's", read_by_policies("band_low", kControls)},
      {"sparse", FIELD(sparse, band_high), fixed, from_to(0, 1000), "balance ratio from which D grows; 0: the method's",
       read_by_policies("band_high", kControls)},
      {"sparse", FIELD(sparse, density_step), fixed, above_to(0, 1), "change of D's density per decision",
       read_by_policies("density_step", kControls)},
      {"sparse", FIELD(sparse, density_floor), fixed, above_to(0, 1), "lower limit of D's density",
       read_by_policies("density_floor", kControls)},
      {"sparse", FIELD(sparse, d_max), fixed, above_to(0, 1), "upper limit of D's density (ddst-strict)",
       read_by_policies("d_max")},
      {"sparse", FIELD(sparse, br_every), fixed, at_least(0),
       "iterations between measurements of the balance ratio; 0: none", masks},
      {"sparse", FIELD(sparse, br_window), fixed, at_least(1), "iterations over which the balance ratio is averaged",
       masks},
      {"sparse", FIELD(sparse, br_mode), fixed, any, "how the balance ratio is averaged",
       read_by_policies("br_mode", kControls)},
      {"sparse", FIELD(sparse, posthoc_fine_tune), fixed, above_to(0, 10),
       "iterations after pruning, as a share of those before (posthoc)", read_by_policies("posthoc_fine_tune")},
      {"sparse", FIELD(sparse, prune_start), fixed, at_least(0), "iteration after which pruning begins (gradual)",
       read_by_policies("prune_start"), younger},
      {"sparse", FIELD(sparse, prune_end), fixed, at_least(0),
       "and by which it ends, at density_g; 0: three quarters of schedule_iterations", read_by_policies("prune_end"),
       younger},
  };
}

Rows output_rows() {
  return {
      {"output",
       FIELD(output, runs),
       settled,
       {.path = Limits::Path::expanded},
       "folder in which runs get their directories"},
      {"output", FIELD(output, name), settled, {.file_name = true}, "name of the run instead of the preset's"},
      {"output", FIELD(output, log_every), free, at_least(1), "iterations between lines of train.jsonl"},
      {"output", FIELD(output, sample_every), free, at_least(0), "iterations between sample grids; 0: ends only"},
      {"output", FIELD(output, sample_count), settled, from_to(1, 4096), "images in a sample grid"},
      {"output", FIELD(output, sample_scale), settled, from_to(1, 16), "enlargement of pictures"},
      {"output", FIELD(output, checkpoint_every), free, at_least(0), "iterations between checkpoints; 0: ends only"},
      {"output", FIELD(output, keep_checkpoints), free, from_to(1, 1000000), "newest checkpoints kept"},
      {"output", FIELD(output, compare_with_dense), free, from_to(0, 1000),
       "iterations that a finished run times, in turns with as many dense ones; 0: none", masks},
      {"output", FIELD(output, tensorboard), free, any, "event files for TensorBoard beside train.jsonl"},
      {"output", FIELD(evaluation, eval_every), free, at_least(0),
       "iterations between evaluations, by which the best checkpoint is chosen; 0: off"},
      {"output", FIELD(evaluation, eval_metric), free, one_of(evaluation_names()), "metric to evaluate", evaluation},
      {"output", FIELD(evaluation, eval_images), free, from_to(2, 10000000), "generated images (swd: always 1024)",
       generated},
      {"output", FIELD(evaluation, eval_reference), free, path_or("train"),
       "'train': the training images; or statistics (.npz) made by evaluate_gan make-stats", referred},
      {"output", FIELD(evaluation, inception), free, path_or("auto"),
       "weights of Inception, for fid, is, kid and precision-recall; auto: ~/.local/share/poise/inception.safetensors",
       inception},
  };
}

#undef FIELD

}  // namespace

const std::vector<Option>& option_table() {
  static const std::vector<Option> table = [] {
    Rows all;
    for (const Rows& rows : {model_rows(), data_rows(), train_rows(), sparse_rows(), output_rows()}) {
      all.insert(all.end(), rows.begin(), rows.end());
    }
    return all;
  }();
  return table;
}

}  // namespace poise
