// A golden file (tests/golden/README.md): tensors computed by PyTorch, looked up by name and compared with ours.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <set>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"
#include "kernels/core/memory.h"

namespace poise {

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& name)
      : file_(SafetensorsFile::read(std::string(POISE_GOLDEN_DIR) + "/" + name + ".safetensors")) {}

  // Prints the largest difference that was found, to help choose limits.
  ~GoldenFile() {
    if (!worst_name_.empty()) std::cout << "worst: " << worst_name_ << " differs by " << worst_ << " of its maximum\n";
  }
  GoldenFile(const GoldenFile&) = delete;
  GoldenFile& operator=(const GoldenFile&) = delete;

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }

  Shape shape(const std::string& name) const {
    const std::vector<int64_t>& dims = file_.at(name).shape;
    switch (dims.size()) {
      case 1:
        return {dims[0]};
      case 2:
        return {dims[0], dims[1]};
      case 3:
        return {dims[0], dims[1], dims[2]};
      case 4:
        return {dims[0], dims[1], dims[2], dims[3]};
      default:
        throw Error(ErrorKind::check, name + " has no shape that a Tensor could have");
    }
  }

  std::vector<double> values(const std::string& name) const {
    const TensorView& view = file_.at(name);
    switch (view.dtype) {
      case DType::f32:
        return converted<float>(view);
      case DType::f64:
        return converted<double>(view);
      case DType::u8:
        return converted<uint8_t>(view);
      default:
        throw Error(ErrorKind::check, name + " has an unexpected element type");
    }
  }

  // A copy, as f32 or f64.
  OwnedTensor tensor(const std::string& name, DType dtype) const {
    OwnedTensor owned(shape(name), dtype, Device::cpu);
    fill(owned.tensor(), values(name));
    return owned;
  }

  static void fill(const Tensor& tensor, const std::vector<double>& values) {
    ASSERT_EQ(tensor.elements(), static_cast<int64_t>(values.size()));
    if (tensor.dtype == DType::f64) {
      std::copy(values.begin(), values.end(), tensor.data<double>());
    } else {
      std::transform(values.begin(), values.end(), tensor.data<float>(),
                     [](double x) { return static_cast<float>(x); });
    }
  }

  // Largest difference relative to the largest expected entry. A NaN fails.
  void expect_near(const std::string& name, const Tensor& got, double limit) {
    compared_.insert(name);
    ASSERT_TRUE(static_cast<bool>(got)) << name << ": no such result";
    ASSERT_EQ(got.shape.to_string(), shape(name).to_string()) << name;
    const std::vector<double> expected = values(name);
    double difference = 0, scale = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double x = got.dtype == DType::f64 ? got.data<double>()[i] : static_cast<double>(got.data<float>()[i]);
      const double d = std::abs(x - expected[i]);
      difference = d <= difference ? difference : d;  // keeps a NaN
      scale = std::max(scale, std::abs(expected[i]));
    }
    const double relative = difference == 0 ? 0 : difference / scale;
    EXPECT_TRUE(relative <= limit) << name << " differs from PyTorch by " << relative << " of its maximum " << scale
                                   << ", limit " << limit;
    if (!(relative <= worst_)) worst_ = relative, worst_name_ = name;
  }

  void expect_all_compared() const {
    for (const std::string& name : file_.names()) {
      EXPECT_TRUE(compared_.contains(name)) << name << " was not compared";
    }
  }

 private:
  template <class T>
  static std::vector<double> converted(const TensorView& view) {
    std::vector<T> raw(view.bytes.size() / sizeof(T));
    std::memcpy(raw.data(), view.bytes.data(), view.bytes.size());
    return {raw.begin(), raw.end()};
  }

  SafetensorsFile file_;
  std::set<std::string> compared_;
  double worst_ = -1;
  std::string worst_name_;
};

}  // namespace poise
