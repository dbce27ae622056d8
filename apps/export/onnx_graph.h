// A computation as an ONNX model, built node by node. Opset 13, IR version 7: runtimes have supported them since 2020.
#pragma once
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/io/protobuf.h"
#include "engine/io/safetensors.h"

namespace poise {

struct OnnxAttribute {
  std::string name;
  std::variant<int64_t, float, std::string, std::vector<int64_t>> value;
};

class OnnxGraph {
 public:
  static constexpr int64_t kOpset = 13, kIrVersion = 7;

  explicit OnnxGraph(const std::string& name) { graph_.text(2, name); }

  enum class Element : uint8_t { f32 = 1, i64 = 7 };
  // The first dimension of inputs and outputs is the number of images, "N"; `rest` are the others.
  void input(const std::string& name, Element element, const std::vector<int64_t>& rest);
  void output(const std::string& name, const std::vector<int64_t>& rest);
  // All return `name`.
  std::string constant(const std::string& name, const std::vector<int64_t>& shape, const std::vector<float>& values);
  std::string constant(const std::string& name, const std::vector<int64_t>& values);  // [values.size()]
  // A node and its only result, both called `name`. An empty name omits an optional input.
  std::string node(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                   const std::vector<OnnxAttribute>& attributes = {});

  // The file.
  std::string model(const StringMap& metadata, const std::string& version) const;

 private:
  ProtobufMessage graph_;
};

}  // namespace poise
