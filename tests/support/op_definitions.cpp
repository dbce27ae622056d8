#include "tests/support/op_definitions.h"

#include <algorithm>
#include <cmath>

#include "tests/support/op_definition_tools.h"

namespace poise {
namespace {

using test::HostImage;
using test::tabulate;
using test::Values;

double sum_of(const Values& x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum;
}
double mean_of(const Values& x) { return sum_of(x) / static_cast<double>(x.size()); }

Values normalised_to_length_one(Values x) {
  double square = 0;
  for (const double value : x) square += value * value;
  for (double& value : x) value /= std::sqrt(square);
  return x;
}

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double real_term(GanLoss loss, double r) {
  return loss == GanLoss::hinge ? std::max(0.0, 1 - r) : loss == GanLoss::bce ? softplus(-r) : -r;
}
double fake_term(GanLoss loss, double f) {
  return loss == GanLoss::hinge ? std::max(0.0, 1 + f) : loss == GanLoss::bce ? softplus(f) : f;
}

}  // namespace

OpDefinition define_each(std::function<double(double)> f) {
  return [f](const HostValues& inputs, HostValues&) {
    Values y;
    for (const double x : inputs[0]) y.push_back(f(x));
    return y;
  };
}

OpDefinition define_each_pair(std::function<double(double, double)> f) {
  return [f](const HostValues& inputs, HostValues&) {
    Values y;
    for (size_t i = 0; i < inputs[0].size(); ++i) y.push_back(f(inputs[0][i], inputs[1][i]));
    return y;
  };
}

OpDefinition define_concat_batch() {
  return [](const HostValues& inputs, HostValues&) {
    Values y = inputs[0];
    y.insert(y.end(), inputs[1].begin(), inputs[1].end());
    return y;
  };
}

OpDefinition define_concat_channels(const std::vector<int64_t>& channels) {
  return [channels](const HostValues& inputs, HostValues&) {
    Values y;
    const size_t rows = inputs[0].size() / static_cast<size_t>(channels[0]);
    for (size_t row = 0; row < rows; ++row) {
      for (size_t i = 0; i < inputs.size(); ++i) {
        for (size_t c = 0; c < static_cast<size_t>(channels[i]); ++c) {
          y.push_back(inputs[i][row * static_cast<size_t>(channels[i]) + c]);
        }
      }
    }
    return y;
  };
}

OpDefinition define_linear(int64_t n, int64_t in, int64_t out) { return define_conv2d({n, 1, 1, in}, out, {}); }

OpDefinition define_conv2d(const Shape& x_shape, int64_t c_out, const Conv2dOptions& o) {
  return [=](const HostValues& inputs, HostValues&) {
    const int64_t up = o.upsample, c_in = x_shape[3];
    const HostImage x{inputs[0], x_shape}, w{inputs[1], {c_out, o.kh, o.kw, c_in}};
    const Shape enlarged{x_shape[0], up * x_shape[1], up * x_shape[2], c_in};
    const Values u_values =
        tabulate(enlarged, [&](int64_t n, int64_t a, int64_t b, int64_t i) { return x.at(n, a / up, b / up, i); });
    const HostImage u{u_values, enlarged};
    const Shape y_shape{x_shape[0], (enlarged[1] + 2 * o.pad_h - o.kh) / o.stride_h + 1,
                        (enlarged[2] + 2 * o.pad_w - o.kw) / o.stride_w + 1, c_out};
    const Values sums = tabulate(y_shape, [&](int64_t n, int64_t p, int64_t q, int64_t out) {
      double sum = inputs.size() > 2 ? inputs[2][static_cast<size_t>(out)] : 0;
      for (int64_t r = 0; r < o.kh; ++r) {
        for (int64_t s = 0; s < o.kw; ++s) {
          for (int64_t i = 0; i < c_in; ++i) {
            sum += u.at(n, p * o.stride_h + r - o.pad_h, q * o.stride_w + s - o.pad_w, i) * w.at(out, r, s, i);
          }
        }
      }
      return o.relu ? std::max(0.0, sum) : sum;
    });
    if (o.pool == 1) return sums;
    const HostImage y{sums, y_shape};
    return tabulate({y_shape[0], y_shape[1] / 2, y_shape[2] / 2, c_out},
                    [&](int64_t n, int64_t p, int64_t q, int64_t out) {
                      const int64_t row = 2 * p, column = 2 * q;
                      return (y.at(n, row, column, out) + y.at(n, row, column + 1, out) +
                              y.at(n, row + 1, column, out) + y.at(n, row + 1, column + 1, out)) /
                             4;
                    });
  };
}

OpDefinition define_batch_norm(const Shape& x_shape, Mode mode, const BatchNormOptions& options) {
  return [=](const HostValues& inputs, HostValues& states) {
    const auto channels = static_cast<size_t>(x_shape.back());
    const Values &x = inputs[0], &gamma = inputs[1], &beta = inputs[2];
    Values y(x.size());
    for (size_t c = 0; c < channels; ++c) {
      Values column;
      for (size_t i = c; i < x.size(); i += channels) column.push_back(x[i]);
      const double rows = static_cast<double>(column.size());
      double mean = mean_of(column), var = 0;
      for (const double value : column) var += (value - mean) * (value - mean) / rows;
      if (mode == Mode::train) {
        const double m = options.momentum;
        states[0][c] = (1 - m) * states[0][c] + m * mean;
        states[1][c] = (1 - m) * states[1][c] + m * var * rows / (rows - 1);
      }
      if (mode == Mode::evaluate_running) {
        mean = states[0][c];
        var = states[1][c];
      }
      for (size_t i = c; i < x.size(); i += channels) {
        y[i] = gamma[c] * (x[i] - mean) / std::sqrt(var + options.eps) + beta[c];
        if (options.relu) y[i] = std::max(0.0, y[i]);
      }
    }
    return y;
  };
}

OpDefinition define_spectral_norm(const Shape& weight, Mode mode) {
  return [=](const HostValues& inputs, HostValues& states) {
    const Values& w = inputs[0];
    Values &u = states[0], &v = states[1];
    const auto rows = static_cast<size_t>(weight[0]), cols = w.size() / rows;
    auto w_times = [&](const Values& right) {
      Values product(rows);
      for (size_t i = 0; i < w.size(); ++i) product[i / cols] += w[i] * right[i % cols];
      return product;
    };
    if (mode == Mode::train) {
      Values product(cols);
      for (size_t i = 0; i < w.size(); ++i) product[i % cols] += w[i] * u[i / cols];
      const bool vanishes = *std::max_element(product.begin(), product.end()) == 0 &&
                            *std::min_element(product.begin(), product.end()) == 0;
      v = normalised_to_length_one(vanishes ? Values(cols, 1) : product);
      u = normalised_to_length_one(w_times(v));
    }
    const Values wv = w_times(v);
    double sigma = 0;
    for (size_t row = 0; row < rows; ++row) sigma += u[row] * wv[row];
    Values y;
    for (const double value : w) y.push_back(value / sigma);
    return y;
  };
}

OpDefinition define_upsample_nearest_2x(const Shape& s) {
  return [=](const HostValues& inputs, HostValues&) {
    const HostImage x{inputs[0], s};
    return tabulate({s[0], 2 * s[1], 2 * s[2], s[3]},
                    [&](int64_t n, int64_t h, int64_t w, int64_t c) { return x.at(n, h / 2, w / 2, c); });
  };
}

OpDefinition define_avg_pool_2x2(const Shape& s) {
  return [=](const HostValues& inputs, HostValues&) {
    const HostImage x{inputs[0], s};
    return tabulate({s[0], s[1] / 2, s[2] / 2, s[3]}, [&](int64_t n, int64_t h, int64_t w, int64_t c) {
      return mean_of({x.at(n, 2 * h, 2 * w, c), x.at(n, 2 * h, 2 * w + 1, c), x.at(n, 2 * h + 1, 2 * w, c),
                      x.at(n, 2 * h + 1, 2 * w + 1, c)});
    });
  };
}

namespace {
// Applies f to the cells of x in each window, without padding.
OpDefinition define_window_pool(const Shape& s, const PoolWindow& window, const std::function<double(Values)>& f) {
  return [=](const HostValues& inputs, HostValues&) {
    const HostImage x{inputs[0], s};
    const auto outputs = [&](int64_t extent) { return (extent + 2 * window.pad - window.size) / window.stride + 1; };
    return tabulate({s[0], outputs(s[1]), outputs(s[2]), s[3]}, [&](int64_t n, int64_t p, int64_t q, int64_t c) {
      Values cells;
      for (int64_t r = 0; r < window.size; ++r) {
        for (int64_t t = 0; t < window.size; ++t) {
          const int64_t h = p * window.stride - window.pad + r, w = q * window.stride - window.pad + t;
          if (h >= 0 && h < s[1] && w >= 0 && w < s[2]) cells.push_back(x.at(n, h, w, c));
        }
      }
      return f(cells);
    });
  };
}
}  // namespace

OpDefinition define_max_pool(const Shape& x, const PoolWindow& window) {
  return define_window_pool(x, window,
                            [](const Values& cells) { return *std::max_element(cells.begin(), cells.end()); });
}
OpDefinition define_avg_pool(const Shape& x, const PoolWindow& window) {
  return define_window_pool(x, window, mean_of);
}

OpDefinition define_sum_space(const Shape& s, double scale) {
  return [=](const HostValues& inputs, HostValues&) {
    const HostImage x{inputs[0], s};
    return tabulate({s[0], 1, 1, s[3]}, [&](int64_t n, int64_t, int64_t, int64_t c) {
      Values pixels;
      for (int64_t i = 0; i < s[1] * s[2]; ++i) pixels.push_back(x.at(n, i / s[2], i % s[2], c));
      return scale * sum_of(pixels);
    });
  };
}

// Applies the changes one after the other, in the order of the paper's appendix.
OpDefinition define_diff_augment(const Shape& x, const DiffAugmentOptions& o) {
  return [=](const HostValues& inputs, HostValues&) {
    Values y;
    const int64_t h = x[1], w = x[2], c = x[3], size = h * w * c;
    for (int64_t image = 0; image < x[0]; ++image) {
      double u[8];  // in (0, 1)
      uint64_t bits[8];
      for (uint64_t i = 0; i < 8; ++i) {
        const uint64_t element = 2 * static_cast<uint64_t>(o.first_image + image) + i / 4;
        bits[i] = philox4x32(0, element, static_cast<uint32_t>(RandomStream::diff_augment), 0).x[i % 4];
        u[i] = (static_cast<double>(bits[i] >> 9) + 0.5) / 8388608.0;
      }
      Values now(inputs[0].begin() + image * size, inputs[0].begin() + (image + 1) * size);
      if (o.color) {
        for (double& v : now) v += u[0] - 0.5;
        for (int64_t pixel = 0; pixel < h * w; ++pixel) {
          double mean = 0;
          for (int64_t i = 0; i < c; ++i) mean += now[static_cast<size_t>(pixel * c + i)] / static_cast<double>(c);
          for (int64_t i = 0; i < c; ++i) {
            double& v = now[static_cast<size_t>(pixel * c + i)];
            v = (v - mean) * (2 * u[1]) + mean;
          }
        }
        const double mean = mean_of(now);
        const double contrast = static_cast<float>(u[2] + 0.5);  // rounded as in f32
        for (double& v : now) v = (v - mean) * contrast + mean;
      }
      const auto below = [&](int i, int64_t count) {
        return static_cast<int64_t>((bits[i] * static_cast<uint64_t>(count)) >> 32);
      };
      const auto rounded = [](double v) { return static_cast<int64_t>(v + 0.5); };
      if (o.translation) {
        const int64_t most_h = rounded(static_cast<double>(h) / 8), most_w = rounded(static_cast<double>(w) / 8);
        const int64_t dh = below(4, 2 * most_h + 1) - most_h, dw = below(5, 2 * most_w + 1) - most_w;
        const Values before = now;
        const HostImage padded{before, {1, h, w, c}};
        now = tabulate({1, h, w, c},
                       [&](int64_t, int64_t p, int64_t q, int64_t i) { return padded.at(0, p + dh, q + dw, i); });
      }
      if (o.cutout) {
        const int64_t cut_h = rounded(static_cast<double>(h) / 2), cut_w = rounded(static_cast<double>(w) / 2);
        const int64_t row = below(6, h + 1 - cut_h % 2), column = below(7, w + 1 - cut_w % 2);
        for (int64_t a = 0; a < cut_h; ++a) {
          for (int64_t b = 0; b < cut_w; ++b) {
            const int64_t p = std::clamp<int64_t>(row + a - cut_h / 2, 0, h - 1);
            const int64_t q = std::clamp<int64_t>(column + b - cut_w / 2, 0, w - 1);
            for (int64_t i = 0; i < c; ++i) now[static_cast<size_t>((p * w + q) * c + i)] = 0;
          }
        }
      }
      y.insert(y.end(), now.begin(), now.end());
    }
    return y;
  };
}

OpDefinition define_gan_loss_d(GanLoss loss, int64_t n_real) {
  return [=](const HostValues& inputs, HostValues& states) {
    const Values reals(inputs[0].begin(), inputs[0].begin() + n_real),
        fakes(inputs[0].begin() + n_real, inputs[0].end());
    states[0] = {mean_of(reals), mean_of(fakes)};
    Values real_terms, fake_terms;
    for (const double r : reals) real_terms.push_back(real_term(loss, r));
    for (const double f : fakes) fake_terms.push_back(fake_term(loss, f));
    return Values{mean_of(real_terms) + mean_of(fake_terms)};
  };
}

// The loss of G falls as D rates its images more real. With the hinge loss, G's part has no hinge (Lim and Ye, 2017).
OpDefinition define_gan_loss_g(GanLoss loss) {
  return [=](const HostValues& inputs, HostValues&) {
    Values terms;
    for (const double f : inputs[0]) terms.push_back(loss == GanLoss::bce ? softplus(-f) : -f);
    return Values{mean_of(terms)};
  };
}

}  // namespace poise
