#include "apps/export/channels_first.h"

#include <map>
#include <utility>

#include "kernels/core/error.h"

namespace poise {
namespace {

// [a,h,w,b] -> [a,b,h,w]
NamedWeights with_channels_first(const NamedWeights& w) {
  const int64_t a = w.shape[0], area = w.shape[1] * w.shape[2], b = w.shape[3];
  NamedWeights out{.name = w.name, .shape = {a, b, w.shape[1], w.shape[2]}, .values = {}};
  out.values.reserve(w.values.size());
  for (int64_t i = 0; i < a; ++i) {
    for (int64_t j = 0; j < b; ++j) {
      for (int64_t p = 0; p < area; ++p) out.values.push_back(w.values[static_cast<size_t>((i * area + p) * b + j)]);
    }
  }
  return out;
}

// Reorders groups of `group` adjacent values from (place, channel) to (channel, place).
void channels_before_places(std::vector<float>& values, int64_t places, int64_t group) {
  const std::vector<float> old = values;
  const int64_t count = static_cast<int64_t>(old.size()) / group, channels = count / places;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t from = i % places * channels + i / places;
    for (int64_t k = 0; k < group; ++k)
      values[static_cast<size_t>(i * group + k)] = old[static_cast<size_t>(from * group + k)];
  }
}

double sigma_of(const NamedWeights& weight, const std::vector<float>& u, const std::vector<float>& v) {
  double sigma = 0;
  for (size_t i = 0; i < u.size(); ++i) {
    double row = 0;
    for (size_t j = 0; j < v.size(); ++j) {
      row += static_cast<double>(weight.values[i * v.size() + j]) * static_cast<double>(v[j]);
    }
    sigma += static_cast<double>(u[i]) * row;
  }
  return sigma;
}

// The tensors of one layer, by the last component of their paths.
using Leaves = std::map<std::string, NamedWeights>;

// Adds a weight under spectral norm. The weight, u and v are already in the new layout.
void add_normalised(const std::string& layer, NamedWeights weight, NamedWeights u, NamedWeights v,
                    SpectralNormForm form, std::vector<NamedWeights>& out) {
  weight.name = layer + ".weight";
  if (form == SpectralNormForm::folded) {
    const double sigma = sigma_of(weight, u.values, v.values);
    for (float& value : weight.values) value = static_cast<float>(static_cast<double>(value) / sigma);
    out.push_back(std::move(weight));
    return;
  }
  u.name = weight.name + "_u";
  v.name = weight.name + "_v";
  weight.name += "_orig";
  for (NamedWeights* tensor : {&weight, &u, &v}) out.push_back(std::move(*tensor));
}

void add_layer(const std::string& layer, Leaves leaves, int64_t row_places, int64_t column_places,
               SpectralNormForm form, std::vector<NamedWeights>& out) {
  const auto add = [&](const char* ours, const char* theirs) {
    const auto found = leaves.find(ours);
    if (found == leaves.end()) return;
    found->second.name = layer + "." + theirs;
    out.push_back(std::move(found->second));
  };
  if (const auto found = leaves.find("weight"); found != leaves.end()) {
    NamedWeights& weight = found->second;
    NamedWeights *u = leaves.contains("u") ? &leaves["u"] : nullptr, *v = u ? &leaves["v"] : nullptr;
    if (weight.shape.size() == 4) {
      if (v) {
        channels_before_places(v->values, weight.shape[1] * weight.shape[2], 1);
      }
      weight = with_channels_first(weight);
    } else if (row_places > 1) {
      channels_before_places(weight.values, row_places, weight.shape[1]);
      if (u) channels_before_places(u->values, row_places, 1);
      if (leaves.contains("bias")) channels_before_places(leaves["bias"].values, row_places, 1);
    } else if (column_places > 1) {
      const auto width = static_cast<size_t>(weight.shape[1]);
      for (size_t at = 0; at < weight.values.size(); at += width) {
        std::vector<float> row(weight.values.begin() + static_cast<int64_t>(at),
                               weight.values.begin() + static_cast<int64_t>(at + width));
        channels_before_places(row, column_places, 1);
        std::copy(row.begin(), row.end(), weight.values.begin() + static_cast<int64_t>(at));
      }
      if (v) channels_before_places(v->values, column_places, 1);
    }
    if (u)
      add_normalised(layer, std::move(weight), std::move(*u), std::move(*v), form, out);
    else
      add("weight", "weight");
  }
  add("bias", "bias");
  add("gamma", "weight");
  add("beta", "bias");
  add("running_mean", "running_mean");
  add("running_var", "running_var");
  add("gate", "gate");
}

}  // namespace

std::vector<NamedWeights> channels_first(const std::string& model, const std::string& network,
                                         const std::vector<NamedWeights>& ours, SpectralNormForm form) {
  std::vector<std::string> order;
  std::map<std::string, Leaves> layers;
  for (const NamedWeights& tensor : ours) {
    const size_t dot = tensor.name.rfind('.');
    require(dot != std::string::npos, "a tensor's path has a layer");
    const std::string layer = tensor.name.substr(0, dot);
    if (!layers.contains(layer)) order.push_back(layer);
    layers[layer][tensor.name.substr(dot + 1)] = tensor;
  }
  const int64_t bottom = model == "sngan48" ? 6 : 4;  // side of the smallest feature map
  std::vector<NamedWeights> out;
  for (const std::string& layer : order) {
    const bool image = layer == "linear" && (network == "G" || model == "dcgan32");
    const int64_t places = image ? bottom * bottom : 1;
    add_layer(layer, std::move(layers[layer]), network == "G" ? places : 1, network == "D" ? places : 1, form, out);
  }
  return out;
}

}  // namespace poise
