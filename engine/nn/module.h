// A tree of layers. A child registers with its parent when it is constructed, in the order of declaration, and a module
// never moves afterwards. So a model is a plain struct whose members are its layers.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/tape/tape.h"

namespace poise {

class Weight;  // layers.h

class Module {
 public:
  explicit Module(const std::string& name) : path_(name) {}  // a root: "G", "D"
  Module(Module& parent, const std::string& name) : path_(parent.path_ + "." + name) {
    parent.children_.push_back(this);
    local_path_ = parent.local_path_.empty() ? name : parent.local_path_ + "." + name;
  }
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const std::string& path() const { return path_; }  // "G.block2.conv1"

  // Depth first, in order of declaration.
  void for_each_parameter(const std::function<void(Parameter&)>& f);
  void for_each_buffer(const std::function<void(StateBuffer&)>& f);
  // Weights under spectral norm, with the layer that each belongs to.
  void for_each_normalised_weight(const std::function<void(const Module&, Weight&)>& f);
  void set_requires_grad(bool requires_grad);
  int64_t parameter_count();

 protected:
  // For layers: paths are relative to the root ("block2.conv1.weight").
  void add_parameter(Parameter& parameter, const std::string& name, const Shape& shape, ParameterRole role,
                     int64_t fan_in, int64_t fan_out);
  void add_buffer(StateBuffer& buffer, const std::string& name, const Shape& shape, BufferRole role);
  void add_normalised_weight(Weight& weight) { normalised_weights_.push_back(&weight); }

 private:
  std::string path_, local_path_;
  std::vector<Module*> children_;
  std::vector<Parameter*> parameters_;
  std::vector<StateBuffer*> buffers_;
  std::vector<Weight*> normalised_weights_;
};

}  // namespace poise
