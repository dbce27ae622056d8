#include "engine/nn/module.h"

namespace poise {

void Module::for_each_parameter(const std::function<void(Parameter&)>& f) {
  for (Parameter* parameter : parameters_) f(*parameter);
  for (Module* child : children_) child->for_each_parameter(f);
}

void Module::for_each_buffer(const std::function<void(StateBuffer&)>& f) {
  for (StateBuffer* buffer : buffers_) f(*buffer);
  for (Module* child : children_) child->for_each_buffer(f);
}

void Module::for_each_normalised_weight(const std::function<void(const Module&, Weight&)>& f) {
  for (Weight* weight : normalised_weights_) f(*this, *weight);
  for (Module* child : children_) child->for_each_normalised_weight(f);
}

void Module::set_requires_grad(bool requires_grad) {
  for_each_parameter([&](Parameter& parameter) { parameter.requires_grad = requires_grad; });
}

int64_t Module::parameter_count() {
  int64_t count = 0;
  for_each_parameter([&](Parameter& parameter) { count += parameter.shape.elements(); });
  return count;
}

void Module::add_parameter(Parameter& parameter, const std::string& name, const Shape& shape, ParameterRole role,
                           int64_t fan_in, int64_t fan_out) {
  parameter.path = local_path_.empty() ? name : local_path_ + "." + name;
  parameter.shape = shape;
  parameter.role = role;
  parameter.fan_in = fan_in;
  parameter.fan_out = fan_out;
  parameters_.push_back(&parameter);
}

void Module::add_buffer(StateBuffer& buffer, const std::string& name, const Shape& shape, BufferRole role) {
  buffer.path = local_path_.empty() ? name : local_path_ + "." + name;
  buffer.shape = shape;
  buffer.role = role;
  buffers_.push_back(&buffer);
}

}  // namespace poise
