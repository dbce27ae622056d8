// A policy decides when and how the masks of one network change. A method of sparse training consists of a policy for G
// and one for D (sparse_methods.h); a network without a policy is dense. Training applies policies; plans, cost
// estimates and reports query the same objects. Policies are stateless: what they depend on is stored in MaskedNetwork,
// and so in checkpoints.
//
// Only apply() throws: Error(runtime) if its scratch does not fit or the device fails.
//
// An iteration t with due(t) ends with apply(). A new mechanism needs a policy in policies/, a line in the table of
// methods, and its options.
#pragma once
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "apps/training/sparse_options.h"

namespace poise {

// The masks of one network, and what a checkpoint stores in addition to them.
struct MaskedNetwork {
  ParameterSlab& slab;
  NetworkMasks masks;
  RandomStream stream;  // random numbers for its masks
  double density = 1;   // requested
  int64_t target = 0;   // the number of alive weights at that density
};

// What an update did.
struct MaskAction {
  const char* kind = "none";  // "drop_grow", "raise", "lower", "prune"
  MaskChange change;
  double drop_fraction = 0;  // for drop_grow; for raise and lower, the density step
};

class MaskPolicy {
 public:
  virtual ~MaskPolicy() = default;

  // The density after iteration t, as far as it is known before training; for t = 0 that of the first masks.
  virtual double planned_density(int64_t t) const = 0;
  // Does iteration t end with an update?
  virtual bool due(int64_t t) const = 0;
  // Does iteration t also compute the gradients of dead weights, so that the update can rank them or seed moments?
  virtual bool wants_dense_gradient(int64_t t) const { return due(t); }
  // Does apply() read the balance ratio?
  virtual bool follows_balance() const { return false; }
  // Performs the update that ends iteration t. `balance_ratio` is NaN if there is no reading. Takes scratch from
  // ctx.arena and waits for the device.
  virtual MaskAction apply(Context& ctx, MaskedNetwork& network, int64_t t, double balance_ratio) const = 0;

  // FLOP counts charge the dense gradients of one minibatch every this many iterations; 0: none.
  virtual int64_t dense_gradient_every() const { return 0; }
  // The length of the dense training with which a run of `iterations` compares its cost.
  virtual int64_t dense_iterations(int64_t iterations) const { return iterations; }
  // For a plan: "every 500 iterations before 1,000: drop ..."
  virtual std::string describe() const = 0;
  // Does the option `key` influence this policy? Not used for what all policies share: density, cells and moments.
  virtual bool reads(const std::string&) const { return false; }
  // Options that do not fit together: "d_max: expected ...".
  virtual std::vector<std::string> problems() const { return {}; }
};

// The value for one network of options that exist once per network.
inline double density_of(const SparseOptions& o, Network network) {
  return network == Network::generator ? o.density_g : o.density_d;
}
inline int64_t update_every(const SparseOptions& o, Network network) {
  return network == Network::generator ? o.update_every_g : o.update_every_d;
}
inline const char* letter_of(Network network) { return network == Network::generator ? "g" : "d"; }
inline std::string update_every_key(Network network) { return std::string("update_every_") + letter_of(network); }

inline bool is_one_of(const std::string& key, std::initializer_list<std::string> keys) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace poise
