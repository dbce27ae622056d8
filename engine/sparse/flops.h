// The arithmetic cost of training in multiply-adds (MAC), dense and at given densities, computed before anything runs.
//
// f = sum over the convolutions and linear layers of one network of density_l * MAC_l, for one image. Per iteration
// (n_c D steps of B_D real and B_D fake images, one G step of B_G images) three conventions charge
//
//                    G                        D
//   full             f (n_c B_D + 3 B_G)      f (6 n_c B_D + 2 B_G)          what the steps do: D sees real and fake;
//                                                                          in the G step, D has no weight gradient
//   reference-once   f (n_c B_D + 3 B_G)      f (3 n_c B_D + B_G)            the counter of the papers' code, n_c once
//   published        f (n_c B_D + 3 B_G)      f (3 n_c B_D + B_G) n_c        the same as it was run for the paper
//
// The reference's counter adds to f one for each output of a layer with bias and two for each value of a batch norm,
// and masks the head of D too. Only `full` charges what methods do in addition: dense weight gradients at mask updates
// (f_dense - f_sparse for each image of that minibatch), and the balance ratio's extra forward passes.
// None of them counts activations, pooling, spectral norm, the optimiser or top-k.
#pragma once
#include <functional>

#include "engine/io/enum_names.h"
#include "engine/sparse/maskable.h"

namespace poise {

enum class FlopConvention : uint8_t { full, reference_once, published };
template <>
struct EnumNames<FlopConvention> {
  static constexpr NamedValue<FlopConvention> all[] = {{FlopConvention::full, "full"},
                                                       {FlopConvention::reference_once, "reference-once"},
                                                       {FlopConvention::published, "published"}};
};

struct LayerCost {
  MaskableLayer layer;                     // path inside the network, shape of the weight
  bool maskable = false, is_head = false;  // is_head: maskable only if the head of D is masked too
  double macs = 0;                         // of one image, forward, dense
  double bias_outputs = 0;                 // values that a bias is added to, of one image

  bool masked(MaskableHead head) const {
    return maskable && (!is_head || head == MaskableHead::masked_like_paper_code);
  }
};

struct NetworkCost {
  std::vector<LayerCost> layers;  // convolutions and linear layers, in the order of the forward pass
  double batch_norm_values = 0;   // of one image

  // One image, forward. densities: one per layer.
  double forward_macs(const std::vector<double>& densities, FlopConvention convention) const;
  double dense_macs(FlopConvention convention) const;
};

// Runs `forward`, which must pass one image through `network`, against kernels that do nothing. Points the network's
// parameters to addresses without memory, so use a network that is used nowhere else.
NetworkCost network_cost(Module& network, const std::function<void(Tape&)>& forward);

// alive / all for each layer; 1 for layers without a mask.
std::vector<double> densities_of(const NetworkCost& network, DensityRule rule, double density, const Cell& cell,
                                 MaskableHead head);
// The densities of a dense network.
inline std::vector<double> all_dense(const NetworkCost& network) {
  return std::vector<double>(network.layers.size(), 1.0);
}

struct IterationShape {
  int64_t batch_size_d = 64, batch_size_g = 128, n_critic = 5;
};

// What a method does in addition to its steps, as intervals in iterations; 0 for never.
struct ExtraWork {
  int64_t dense_gradient_g_every = 0, dense_gradient_d_every = 0, balance_every = 0;
};

// MAC of one iteration, averaged over the run.
struct IterationCost {
  struct Passes {
    double forward = 0, backward = 0;
  };
  Passes g, d;
  double dense_gradients = 0, balance = 0;
  double total() const { return g.forward + g.backward + d.forward + d.backward + dense_gradients + balance; }
};

IterationCost iteration_cost(const NetworkCost& g, const std::vector<double>& densities_g, const NetworkCost& d,
                             const std::vector<double>& densities_d, const IterationShape& shape,
                             const ExtraWork& extra, FlopConvention convention);

}  // namespace poise
