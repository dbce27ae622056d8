#include "apps/export/reference_tensors.h"

#include <algorithm>
#include <map>

#include "kernels/core/error.h"

namespace poise {
namespace {

using Words = std::map<std::string, std::string>;

// "block3.conv1" -> 3 and "conv1"; number 0 for a layer outside the blocks.
struct Place {
  int number = 0;
  std::string rest;
};

Place place_of(const std::string& layer) {
  if (!layer.starts_with("block")) return {.number = 0, .rest = layer};
  const size_t dot = layer.find('.');
  return {.number = layer[5] - '0', .rest = layer.substr(dot + 1)};
}

const std::string& word_of(const Words& words, const std::string& ours) {
  const auto found = words.find(ours);
  require(found != words.end(), "a layer has a name in the papers' code");
  return found->second;
}

// Translates the first component of `rest` only: "bn1.gain" -> words["bn1"] + ".gain".
std::string with_tail(const Words& words, const std::string& rest) {
  const size_t dot = rest.find('.');
  return word_of(words, rest.substr(0, dot)) + (dot == std::string::npos ? "" : rest.substr(dot));
}

std::string lottery(bool generator, const std::string& layer) {
  const Words outside = {{"linear", generator ? "l1" : "l5"}, {"bn_out", "b5"}, {"conv_out", "c5"}};
  const Words inside = {{"bn1", "b1"}, {"conv1", "c1"}, {"bn2", "b2"}, {"conv2", "c2"}, {"shortcut", "c_sc"}};
  const Place at = place_of(layer);
  if (at.number == 0) return word_of(outside, at.rest);
  return "block" + std::to_string(at.number) + "." + word_of(inside, at.rest);
}

// A block of D in resnet and biggan.32: the first has no ReLU in front of it, and its shortcut pools first.
std::string sequential_dis_block(const std::string& blocks, const Place& at) {
  const Words first = {{"conv1", "residual.0"}, {"conv2", "residual.2"}, {"shortcut", "shortcut.1"}};
  const Words others = {{"conv1", "residual.1"}, {"conv2", "residual.3"}, {"shortcut", "shortcut.0"}};
  return blocks + "." + std::to_string(at.number - 1) + "." + word_of(at.number == 1 ? first : others, at.rest);
}

std::string resnet(bool generator, const std::string& layer) {
  const Words outside = {{"linear", "linear"}, {"bn_out", "output.0"}, {"conv_out", "output.2"}};
  const Words inside = {{"bn1", "residual.0"},
                        {"conv1", "residual.3"},
                        {"bn2", "residual.4"},
                        {"conv2", "residual.6"},
                        {"shortcut", "shortcut.1"}};
  const Place at = place_of(layer);
  if (at.number == 0) return word_of(outside, at.rest);
  if (!generator) return sequential_dis_block("model", at);
  return "blocks." + std::to_string(at.number - 2) + "." + word_of(inside, at.rest);
}

std::string dcgan(bool generator, const std::string& layer) {
  if (layer == "linear") return layer;
  if (!generator) return "main." + std::to_string(2 * (layer.back() - '1'));
  return word_of({{"bn1", "main.0"},
                  {"conv1", "main.2"},
                  {"bn2", "main.3"},
                  {"conv2", "main.5"},
                  {"bn3", "main.6"},
                  {"conv3", "main.8"},
                  {"bn4", "main.9"},
                  {"conv_out", "main.11"}},
                 layer);
}

std::string biggan32(bool generator, const std::string& layer) {
  const Place at = place_of(layer);
  if (!generator) {
    return at.number > 0 ? sequential_dis_block("blocks", at) : layer == "linear" ? "classifier" : layer;
  }
  if (at.number == 0)
    return word_of({{"linear", "linear"}, {"bn_out", "output_layer.0"}, {"conv_out", "output_layer.2"}}, layer);
  const std::string block = "blocks." + std::to_string(at.number - 1) + ".";
  if (at.rest == "bn1" || at.rest == "bn2") return block + at.rest + ".batchnorm2d";
  return block + with_tail({{"bn1", "bn1"},
                            {"conv1", "residual1.2"},
                            {"bn2", "bn2"},
                            {"conv2", "residual2.1"},
                            {"shortcut", "shortcut.1"}},
                           at.rest);
}

std::string biggan64(bool generator, const std::string& layer) {
  const Words outside = {{"shared", "shared"},
                         {"linear", generator ? "linear0" : "linear1"},
                         {"embedding", "embedding"},
                         {"bn_out", "bn4"},
                         {"conv_out", "conv2d5"}};
  const Words attention = {
      {"theta", "conv1x1_theta"}, {"phi", "conv1x1_phi"}, {"g", "conv1x1_g"}, {"out", "conv1x1_attn"}};
  const Words inside = {
      {"bn1", "bn1"}, {"conv1", "conv2d1"}, {"bn2", "bn2"}, {"conv2", "conv2d2"}, {"shortcut", "conv2d0"}};
  const int attention_at = generator ? 3 : 1;  // its index in the list of blocks
  if (layer.starts_with("attention")) {
    const std::string block = "blocks." + std::to_string(attention_at) + ".0";
    return layer == "attention" ? block : block + "." + word_of(attention, layer.substr(layer.find('.') + 1));
  }
  const Place at = place_of(layer);
  if (at.number == 0) return word_of(outside, layer);
  const int index = at.number - 1 < attention_at ? at.number - 1 : at.number;
  const std::string block = "blocks." + std::to_string(index) + ".0.";
  if (at.rest == "bn1" || at.rest == "bn2") return block + at.rest + ".bn";
  return block + with_tail(inside, at.rest);
}

// Adds the tensors that only dcgan.32's G has, and converts the one that differs.
void complete_dcgan(std::vector<NamedWeights>& tensors) {
  std::vector<NamedWeights> all;
  for (NamedWeights& tensor : tensors) {
    const std::string layer = tensor.name.substr(0, tensor.name.rfind('.'));
    const bool weight = tensor.name.ends_with(".weight"), transposed = tensor.shape.size() == 4;
    if (weight && layer == "main.11") {  // [3,C,h,w] -> [C,3,h,w], rotated by 180 degrees
      const NamedWeights old = tensor;
      const int64_t out = old.shape[0], in = old.shape[1], area = old.shape[2] * old.shape[3];
      std::swap(tensor.shape[0], tensor.shape[1]);
      for (int64_t o = 0; o < out; ++o) {
        for (int64_t i = 0; i < in; ++i) {
          for (int64_t p = 0; p < area; ++p) {
            tensor.values[static_cast<size_t>((i * out + o) * area + p)] =
                old.values[static_cast<size_t>((o * in + i) * area + area - 1 - p)];
          }
        }
      }
    }
    const bool lacks_bias = weight && (layer == "linear" || (transposed && layer != "main.11"));
    const int64_t out = transposed ? tensor.shape[1] : tensor.shape[0];
    all.push_back(std::move(tensor));
    if (lacks_bias) {
      all.push_back({.name = layer + ".bias", .shape = {out}, .values = std::vector<float>(static_cast<size_t>(out))});
    }
  }
  tensors = std::move(all);
}

}  // namespace

std::string reference_layer(const std::string& model, const std::string& network, const std::string& layer) {
  const bool generator = network == "G";
  if (model == "sngan32") return lottery(generator, layer);
  if (model == "sngan32-resnet" || model == "sngan48" || model == "sngan64") return resnet(generator, layer);
  if (model == "dcgan32") return dcgan(generator, layer);
  if (model == "biggan32") return biggan32(generator, layer);
  if (model == "biggan64") return biggan64(generator, layer);
  fail(ErrorKind::usage, "model " + model + " has no names in the papers' code");
}

std::vector<NamedWeights> reference_tensors(const std::string& model, const std::string& network,
                                            const std::vector<NamedWeights>& ours, SpectralNormForm form) {
  std::vector<NamedWeights> tensors = channels_first(model, network, ours, form);
  for (NamedWeights& tensor : tensors) {
    const size_t dot = tensor.name.rfind('.');
    const std::string leaf = tensor.name.substr(dot + 1);
    tensor.name = reference_layer(model, network, tensor.name.substr(0, dot)) + "." + (leaf == "gate" ? "sigma" : leaf);
  }
  if (model == "dcgan32" && network == "G") complete_dcgan(tensors);
  return tensors;
}

}  // namespace poise
