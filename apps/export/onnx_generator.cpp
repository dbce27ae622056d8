#include "apps/export/onnx_generator.h"

#include <map>

#include "apps/export/onnx_graph.h"
#include "models/biggan.h"

namespace poise {
namespace {

// Builds each layer from a few nodes. The result of a layer has the layer's name.
class GeneratorGraph {
 public:
  GeneratorGraph(const ModelOptions& model, std::vector<NamedWeights> tensors)
      : model_(model), graph_("G of " + model.name) {
    for (NamedWeights& t : tensors) {
      std::string name = t.name;
      tensors_.emplace(std::move(name), std::move(t));
    }
  }

  std::string build(const Shape& image, const StringMap& metadata, const std::string& version) {
    graph_.input("z", OnnxGraph::Element::f32, {model_.latent_size});
    if (model_.classes > 0) graph_.input("labels", OnnxGraph::Element::i64, {});
    const std::string features = model_.name == "dcgan32"    ? dcgan()
                                 : model_.name == "biggan32" ? biggan32()
                                 : model_.name == "biggan64" ? biggan64()
                                                             : sngan();
    graph_.node("Tanh", "images", {conv("conv_out", features)});
    graph_.output("images", {image[2], image[0], image[1]});
    return graph_.model(metadata, version);
  }

 private:
  bool has(const std::string& name) const { return tensors_.contains(name); }
  const NamedWeights& at(const std::string& name) const {
    const auto found = tensors_.find(name);
    require(found != tensors_.end(), "an exported generator has all its tensors");
    return found->second;
  }
  std::string constant(const std::string& name) {
    const NamedWeights& t = at(name);
    return graph_.constant(name, t.shape, t.values);
  }
  // The inputs of a layer's node: x, the weight, and the bias if the layer has one.
  std::vector<std::string> weights(const std::string& layer, const std::string& x) {
    std::vector<std::string> inputs = {x, constant(layer + ".weight")};
    if (has(layer + ".bias")) inputs.push_back(constant(layer + ".bias"));
    return inputs;
  }

  std::string relu(const std::string& x) { return graph_.node("Relu", x + ".relu", {x}); }

  std::string linear(const std::string& layer, const std::string& x) {
    return graph_.node("Gemm", layer, weights(layer, x), {{"transB", int64_t{1}}});
  }
  std::string reshape(const std::string& name, const std::string& x, const std::vector<int64_t>& shape) {
    return graph_.node("Reshape", name, {x, graph_.constant(name + ".shape", shape)});
  }
  // The first layer's result as the smallest feature map.
  std::string first_map(const std::string& x) {
    const int64_t side = model_.name == "sngan48" ? 6 : 4, rows = at("linear.weight").shape[0];
    return reshape("first", linear("linear", x), {-1, rows / (side * side), side, side});
  }
  std::string conv(const std::string& layer, const std::string& x) {
    const int64_t kernel = at(layer + ".weight").shape[2], pad = kernel / 2;
    return graph_.node(
        "Conv", layer, weights(layer, x),
        {{"kernel_shape", std::vector{kernel, kernel}}, {"pads", std::vector<int64_t>{pad, pad, pad, pad}}});
  }
  std::string enlarged(const std::string& x) {
    const std::string name = x + ".up";
    return graph_.node("Resize", name, {x, "", graph_.constant(name + ".scales", {4}, {1, 1, 2, 2})},
                       {{"mode", std::string("nearest")},
                        {"coordinate_transformation_mode", std::string("asymmetric")},
                        {"nearest_mode", std::string("floor")}});
  }
  std::string normalised(const std::string& layer, const std::string& name, const std::string& x,
                         const std::string& scale, const std::string& shift) {
    const float eps = model_.name == "biggan64" ? 1e-4f : 1e-5f;
    return graph_.node("BatchNormalization", name,
                       {x, scale, shift, constant(layer + ".running_mean"), constant(layer + ".running_var")},
                       {{"epsilon", eps}});
  }
  std::string bn_relu(const std::string& layer, const std::string& x) {
    return relu(normalised(layer, layer, x, constant(layer + ".weight"), constant(layer + ".bias")));
  }
  // (1 + gain) xhat + bias, then ReLU. `condition`: a vector [N,size], or "" to use the class.
  std::string conditional_bn_relu(const std::string& layer, const std::string& x, const std::string& condition) {
    const int64_t channels = at(layer + ".running_mean").shape[0];
    const std::vector<float> ones(static_cast<size_t>(channels), 1.0f), zeros(ones.size());
    const std::string xhat =
        normalised(layer, layer + ".normalised", x, graph_.constant(layer + ".ones", {channels}, ones),
                   graph_.constant(layer + ".zeros", {channels}, zeros));
    const auto map = [&](const std::string& which) {
      const std::string of = layer + "." + which;
      const std::string rows =
          condition.empty() ? graph_.node("Gather", of, {constant(of + ".weight"), "labels"}) : linear(of, condition);
      return reshape(of + ".per_channel", rows, {-1, channels, 1, 1});
    };
    const std::string scaled = graph_.node("Mul", layer + ".scaled", {xhat, map("gain")});
    const std::string whole = graph_.node("Add", layer + ".with_gain", {xhat, scaled});
    return relu(graph_.node("Add", layer, {whole, map("bias")}));
  }

  template <class Norm>
  std::string gen_block(const std::string& block, const std::string& x, const Norm& bn) {
    const std::string h = conv(block + ".conv1", enlarged(bn(block + ".bn1", x)));
    const std::string deep = conv(block + ".conv2", bn(block + ".bn2", h));
    return graph_.node("Add", block, {deep, conv(block + ".shortcut", enlarged(x))});
  }
  std::string plain_block(const std::string& block, const std::string& x) {
    return gen_block(block, x, [&](const std::string& layer, const std::string& h) { return bn_relu(layer, h); });
  }
  std::string conditional_block(const std::string& block, const std::string& x, const std::string& condition) {
    return gen_block(block, x, [&](const std::string& layer, const std::string& h) {
      return conditional_bn_relu(layer, h, condition);
    });
  }

  std::string sngan() {
    std::string h = first_map("z");
    for (int k = 2; has("block" + std::to_string(k) + ".conv1.weight"); ++k) {
      h = plain_block("block" + std::to_string(k), h);
    }
    return bn_relu("bn_out", h);
  }

  std::string dcgan() {
    std::string h = bn_relu("bn1", first_map("z"));
    for (int k = 1; k <= 3; ++k) {
      const std::string layer = "conv" + std::to_string(k);
      h = graph_.node("ConvTranspose", layer, weights(layer, h),
                      {{"kernel_shape", std::vector<int64_t>{4, 4}},
                       {"pads", std::vector<int64_t>{1, 1, 1, 1}},
                       {"strides", std::vector<int64_t>{2, 2}}});
      h = bn_relu("bn" + std::to_string(k + 1), h);
    }
    return h;
  }

  std::string biggan32() {
    std::string h = first_map("z");
    for (const char* block : {"block1", "block2", "block3"}) h = conditional_block(block, h, "");
    return bn_relu("bn_out", h);
  }

  std::string biggan64() {
    const int64_t chunk = model_.latent_size / BigGan64Generator::kChunks;
    const std::string axis = graph_.constant("chunk.axis", {1});
    const auto part = [&](int64_t k) {
      const std::string name = "chunk" + std::to_string(k);
      return graph_.node(
          "Slice", name,
          {"z", graph_.constant(name + ".from", {k * chunk}), graph_.constant(name + ".to", {(k + 1) * chunk}), axis});
    };
    const std::string of_class = graph_.node("Gather", "shared", {constant("shared.weight"), "labels"});
    std::string h = first_map(part(0));
    for (int64_t k = 1; k <= 4; ++k) {
      const std::string condition =
          graph_.node("Concat", "condition" + std::to_string(k), {of_class, part(k)}, {{"axis", int64_t{1}}});
      if (k == 4) h = attention("attention", h);
      h = conditional_block("block" + std::to_string(k), h, condition);
    }
    return bn_relu("bn_out", h);
  }

  std::string attention(const std::string& layer, const std::string& x) {
    constexpr int64_t kSide = 32;
    const auto matrix = [&](const std::string& of, const std::string& map) {  // [N,C,pixels]
      return reshape(of + ".matrix", map, {0, at(of + ".weight").shape[0], -1});
    };
    const auto pooled = [&](const std::string& of) {
      return graph_.node("MaxPool", of + ".pooled", {conv(of, x)},
                         {{"kernel_shape", std::vector<int64_t>{2, 2}}, {"strides", std::vector<int64_t>{2, 2}}});
    };
    const auto transposed = [&](const std::string& name, const std::string& of) {
      return graph_.node("Transpose", name, {of}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
    };
    const std::string theta = layer + ".theta", phi = layer + ".phi", g = layer + ".g", out = layer + ".out";
    const std::string queries = transposed(theta + ".queries", matrix(theta, conv(theta, x)));
    const std::string scores = graph_.node("MatMul", layer + ".scores", {queries, matrix(phi, pooled(phi))});
    const std::string shares = graph_.node("Softmax", layer + ".shares", {scores}, {{"axis", int64_t{-1}}});
    const std::string attended =
        graph_.node("MatMul", layer + ".attended", {matrix(g, pooled(g)), transposed(layer + ".of_keys", shares)});
    const std::string map = reshape(layer + ".map", attended, {0, at(g + ".weight").shape[0], kSide, kSide});
    const std::string gated = graph_.node("Mul", layer + ".gated", {conv(out, map), constant(layer + ".gate")});
    return graph_.node("Add", layer, {x, gated});
  }

  const ModelOptions& model_;
  OnnxGraph graph_;
  std::map<std::string, NamedWeights> tensors_;
};

}  // namespace

std::string onnx_generator(const ModelOptions& model, const std::vector<NamedWeights>& ours, const StringMap& metadata,
                           const std::string& version) {
  GeneratorGraph graph(model, channels_first(model.name, "G", ours, SpectralNormForm::folded));
  return graph.build(make_model(model).generator->image_shape, metadata, version);
}

}  // namespace poise
