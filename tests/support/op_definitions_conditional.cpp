// Definitions of the ops of conditional networks and attention, of columns, and of the transposed convolution.
#include <algorithm>
#include <cmath>

#include "tests/support/op_definition_tools.h"
#include "tests/support/op_definitions.h"

namespace poise {

using test::HostImage;
using test::tabulate;
using test::Values;

// Every input pixel adds its multiple of the kernel to the output.
OpDefinition define_conv_transpose2d(const Shape& s, int64_t c_out, const Conv2dOptions& o) {
  return [=](const HostValues& inputs, HostValues&) {
    const HostImage x{inputs[0], s}, w{inputs[1], {s[3], o.kh, o.kw, c_out}};
    const Shape y{s[0], (s[1] - 1) * o.stride_h - 2 * o.pad_h + o.kh, (s[2] - 1) * o.stride_w - 2 * o.pad_w + o.kw,
                  c_out};
    Values values(static_cast<size_t>(y.elements()));
    tabulate(s, [&](int64_t n, int64_t h, int64_t q, int64_t i) {
      for (int64_t r = 0; r < o.kh; ++r) {
        for (int64_t t = 0; t < o.kw; ++t) {
          const int64_t a = h * o.stride_h + r - o.pad_h, b = q * o.stride_w + t - o.pad_w;
          if (a < 0 || a >= y[1] || b < 0 || b >= y[2]) continue;
          for (int64_t out = 0; out < c_out; ++out) {
            values[static_cast<size_t>(((n * y[1] + a) * y[2] + b) * c_out + out)] +=
                x.at(n, h, q, i) * w.at(i, r, t, out);
          }
        }
      }
      return 0.0;
    });
    return values;
  };
}

OpDefinition define_slice_channels(int64_t channels, int64_t first, int64_t count) {
  return [=](const HostValues& inputs, HostValues&) {
    Values y;
    for (size_t i = 0; i < inputs[0].size(); ++i) {
      const int64_t c = static_cast<int64_t>(i) % channels;
      if (c >= first && c < first + count) y.push_back(inputs[0][i]);
    }
    return y;
  };
}

OpDefinition define_embedding(const std::vector<int32_t>& labels, int64_t columns) {
  return [=](const HostValues& inputs, HostValues&) {
    Values y;
    for (const int32_t label : labels) {
      for (int64_t c = 0; c < columns; ++c) y.push_back(inputs[0][static_cast<size_t>(label * columns + c)]);
    }
    return y;
  };
}

OpDefinition define_channel_modulation(const Shape& s, bool relu) {
  return [=](const HostValues& inputs, HostValues&) {
    const HostImage x{inputs[0], s}, gain{inputs[1], {s[0], 1, 1, s[3]}}, bias{inputs[2], {s[0], 1, 1, s[3]}};
    return tabulate(s, [&](int64_t n, int64_t h, int64_t w, int64_t c) {
      const double y = (1 + gain.at(n, 0, 0, c)) * x.at(n, h, w, c) + bias.at(n, 0, 0, c);
      return relu && y < 0 ? 0.0 : y;
    });
  };
}

OpDefinition define_row_dot(int64_t columns) {
  return [=](const HostValues& inputs, HostValues&) {
    Values y(inputs[0].size() / static_cast<size_t>(columns));
    for (size_t i = 0; i < inputs[0].size(); ++i) y[i / static_cast<size_t>(columns)] += inputs[0][i] * inputs[1][i];
    return y;
  };
}

OpDefinition define_batched_matmul(int64_t images, int64_t rows, int64_t depth, int64_t columns, bool transpose_b) {
  return [=](const HostValues& inputs, HostValues&) {
    const HostImage a{inputs[0], {images, rows, depth, 1}};
    const HostImage b{inputs[1], transpose_b ? Shape{images, columns, depth, 1} : Shape{images, depth, columns, 1}};
    return tabulate({images, rows, columns, 1}, [&](int64_t n, int64_t i, int64_t j, int64_t) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k) sum += a.at(n, i, k, 0) * (transpose_b ? b.at(n, j, k, 0) : b.at(n, k, j, 0));
      return sum;
    });
  };
}

OpDefinition define_softmax(int64_t columns) {
  return [=](const HostValues& inputs, HostValues&) {
    Values y = inputs[0];
    for (auto row = y.begin(); row != y.end(); row += columns) {
      const double largest = *std::max_element(row, row + columns);
      double sum = 0;
      for (auto x = row; x != row + columns; ++x) sum += std::exp(*x - largest);
      for (auto x = row; x != row + columns; ++x) *x = std::exp(*x - largest) / sum;
    }
    return y;
  };
}

OpDefinition define_gated_add() {
  return [](const HostValues& inputs, HostValues&) {
    Values y = inputs[0];
    for (size_t i = 0; i < y.size(); ++i) y[i] += inputs[2][0] * inputs[1][i];
    return y;
  };
}

}  // namespace poise
