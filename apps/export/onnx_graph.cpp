#include "apps/export/onnx_graph.h"

namespace poise {
namespace {

// Field numbers are those of onnx.proto.
ProtobufMessage attribute_message(const OnnxAttribute& attribute) {
  constexpr int kFloat = 1, kInt = 2, kString = 3, kInts = 7;  // AttributeType
  ProtobufMessage m;
  m.text(1, attribute.name);
  if (const auto* i = std::get_if<int64_t>(&attribute.value)) {
    m.integer(3, *i);
    m.integer(20, kInt);
  } else if (const auto* f = std::get_if<float>(&attribute.value)) {
    m.real32(2, *f);
    m.integer(20, kFloat);
  } else if (const auto* s = std::get_if<std::string>(&attribute.value)) {
    m.text(4, *s);
    m.integer(20, kString);
  } else {
    for (const int64_t each : std::get<std::vector<int64_t>>(attribute.value)) m.integer(8, each);
    m.integer(20, kInts);
  }
  return m;
}

ProtobufMessage value_info(const std::string& name, OnnxGraph::Element element, const std::vector<int64_t>& rest) {
  ProtobufMessage shape, images, tensor, type, info;
  images.text(2, "N");
  shape.message(1, images);
  for (const int64_t size : rest) {
    ProtobufMessage dimension;
    dimension.integer(1, size);
    shape.message(1, dimension);
  }
  tensor.integer(1, static_cast<int64_t>(element));
  tensor.message(2, shape);
  type.message(1, tensor);
  info.text(1, name);
  info.message(2, type);
  return info;
}

ProtobufMessage tensor_message(const std::string& name, OnnxGraph::Element element, const std::vector<int64_t>& shape,
                               std::string_view raw) {
  ProtobufMessage m;
  for (const int64_t size : shape) m.integer(1, size);
  m.integer(2, static_cast<int64_t>(element));
  m.text(8, name);
  m.text(9, raw);
  return m;
}

}  // namespace

void OnnxGraph::input(const std::string& name, Element element, const std::vector<int64_t>& rest) {
  graph_.message(11, value_info(name, element, rest));
}

void OnnxGraph::output(const std::string& name, const std::vector<int64_t>& rest) {
  graph_.message(12, value_info(name, Element::f32, rest));
}

// raw_data is little-endian, as are the machines that Poise runs on.
std::string OnnxGraph::constant(const std::string& name, const std::vector<int64_t>& shape,
                                const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  const std::string_view raw(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  graph_.message(5, tensor_message(name, Element::f32, shape, raw));
  return name;
}

std::string OnnxGraph::constant(const std::string& name, const std::vector<int64_t>& values) {
  const std::string_view raw(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t));
  graph_.message(5, tensor_message(name, Element::i64, {static_cast<int64_t>(values.size())}, raw));
  return name;
}

std::string OnnxGraph::node(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                            const std::vector<OnnxAttribute>& attributes) {
  ProtobufMessage m;
  for (const std::string& input : inputs) m.text(1, input);
  m.text(2, name);
  m.text(3, name);
  m.text(4, op);
  for (const OnnxAttribute& attribute : attributes) m.message(5, attribute_message(attribute));
  graph_.message(1, m);
  return name;
}

std::string OnnxGraph::model(const StringMap& metadata, const std::string& version) const {
  ProtobufMessage opset, m;
  opset.text(1, "");  // the domain of ONNX itself
  opset.integer(2, kOpset);
  m.integer(1, kIrVersion);
  m.text(2, "poise");
  m.text(3, version);
  m.message(7, graph_);
  m.message(8, opset);
  for (const auto& [key, value] : metadata) {
    ProtobufMessage entry;
    entry.text(1, key);
    entry.text(2, value);
    m.message(14, entry);
  }
  return m.bytes();
}

}  // namespace poise
