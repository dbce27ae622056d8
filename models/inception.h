// Inception-v3 as FID and the Inception Score use it (Szegedy et al. 2016; Heusel et al. 2017; Salimans et al. 2016):
// the network "inception-2015-12-05", forward only, with batch norm folded into the convolutions and a ReLU after each.
// Unlike most published Inception-v3s, it averages only over the cells inside the image (window_pooling.h), takes the
// maximum instead of the mean in the pool of Mixed_7c, and has 1008 classes.
//
// Sizes for a 299x299 image; the names are those in weight files. Mixed blocks concatenate their branches in the order
// of declaration.
//   Conv2d_1a_3x3 149 - 2a 147 - 2b 147 - max pool 73 [64] - 3b 73 - 4a 71 - max pool 35 [192] - Mixed_5b..5d 35
//   - Mixed_6a..6e 17 [768] - Mixed_7a 8 - 7b, 7c 8 - mean over space [2048] - fc [logits]
#pragma once
#include <array>
#include <memory>

#include "engine/nn/layers.h"

namespace poise {

struct InceptionOptions {
  bool complete = true;           // false: ends with Mixed_6e
  bool max_pool_in_7c = true;     // false: mean, as in other Inception-v3s
  bool logits_have_bias = false;  // the Inception Score uses logits without bias
  int64_t classes = 1008;
  int64_t narrowing = 1;  // divides every width; for tests
};

// Where features are taken: the mean over space after the first and second max pool, Mixed_6e and Mixed_7c; the logits.
enum class InceptionTap : uint8_t { pool64, pool192, pool768, pool2048, logits };
constexpr int kInceptionTaps = 5;

// Widths as published, divided by the narrowing.
struct InceptionWidth {
  int64_t narrowing;
  int64_t operator()(int64_t published) const { return published / narrowing; }
};

struct InceptionA : Module {  // Mixed_5b, 5c, 5d: 35x35
  InceptionA(Module& parent, const std::string& name, InceptionWidth width, int64_t c_in, int64_t c_pool);
  Var operator()(Var x);
  Conv2d branch1x1, branch5x5_1, branch5x5_2, branch3x3dbl_1, branch3x3dbl_2, branch3x3dbl_3, branch_pool;
};

struct InceptionB : Module {  // Mixed_6a: 35x35 -> 17x17
  InceptionB(Module& parent, const std::string& name, InceptionWidth width);
  Var operator()(Var x);
  Conv2d branch3x3, branch3x3dbl_1, branch3x3dbl_2, branch3x3dbl_3;
};

struct InceptionC : Module {  // Mixed_6b..6e: 17x17, 7x7 convolutions as 1x7 and 7x1
  InceptionC(Module& parent, const std::string& name, InceptionWidth width, int64_t inner);
  Var operator()(Var x);
  Conv2d branch1x1, branch7x7_1, branch7x7_2, branch7x7_3;
  Conv2d branch7x7dbl_1, branch7x7dbl_2, branch7x7dbl_3, branch7x7dbl_4, branch7x7dbl_5, branch_pool;
};

struct InceptionD : Module {  // Mixed_7a: 17x17 -> 8x8
  InceptionD(Module& parent, const std::string& name, InceptionWidth width);
  Var operator()(Var x);
  Conv2d branch3x3_1, branch3x3_2, branch7x7x3_1, branch7x7x3_2, branch7x7x3_3, branch7x7x3_4;
};

struct InceptionE : Module {  // Mixed_7b, 7c: 8x8
  InceptionE(Module& parent, const std::string& name, InceptionWidth width, int64_t c_in, bool max_pool);
  Var operator()(Var x);
  Conv2d branch1x1, branch3x3_1, branch3x3_2a, branch3x3_2b;
  Conv2d branch3x3dbl_1, branch3x3dbl_2, branch3x3dbl_3a, branch3x3dbl_3b, branch_pool;

 private:
  bool max_pool_;
};

class Inception : public Module {
 public:
  explicit Inception(const InceptionOptions& options);

  // x [N,299,299,3] in [-1, 1) -> features [N,dims(tap)] of all taps up to `last`; later taps are empty. Meant for
  // Tape::NoGrad, under which activations between the taps are freed as soon as they have been read.
  std::array<Var, kInceptionTaps> operator()(Var x, InceptionTap last);
  int64_t dims(InceptionTap tap) const;
  InceptionTap last_tap() const { return options_.complete ? InceptionTap::logits : InceptionTap::pool768; }

 private:
  // Everything after Mixed_6e.
  struct End {
    End(Module& parent, const InceptionOptions& options);
    InceptionD mixed_7a;
    InceptionE mixed_7b, mixed_7c;
    Linear fc;
  };

  InceptionOptions options_;
  Conv2d conv_1a_, conv_2a_, conv_2b_, conv_3b_, conv_4a_;
  InceptionA mixed_5b_, mixed_5c_, mixed_5d_;
  InceptionB mixed_6a_;
  InceptionC mixed_6b_, mixed_6c_, mixed_6d_, mixed_6e_;
  std::unique_ptr<End> end_;
};

}  // namespace poise
