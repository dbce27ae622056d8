#include "models/inception.h"

namespace poise {
namespace {

constexpr PoolWindow kReduce{.size = 3, .stride = 2};  // 35 -> 17
constexpr PoolWindow kKeep{.size = 3, .stride = 1, .pad = 1};

// Keeps height and width. All convolutions end in a ReLU.
constexpr Conv2dOptions same(int64_t kh, int64_t kw) {
  return {.kh = kh, .kw = kw, .pad_h = kh / 2, .pad_w = kw / 2, .relu = true};
}
constexpr Conv2dOptions valid(int64_t k, int64_t stride) {
  return {.kh = k, .kw = k, .stride_h = stride, .stride_w = stride, .relu = true};
}

}  // namespace

InceptionA::InceptionA(Module& parent, const std::string& name, InceptionWidth w, int64_t c_in, int64_t c_pool)
    : Module(parent, name),
      branch1x1(*this, "branch1x1.conv", w(c_in), w(64), same(1, 1)),
      branch5x5_1(*this, "branch5x5_1.conv", w(c_in), w(48), same(1, 1)),
      branch5x5_2(*this, "branch5x5_2.conv", w(48), w(64), same(5, 5)),
      branch3x3dbl_1(*this, "branch3x3dbl_1.conv", w(c_in), w(64), same(1, 1)),
      branch3x3dbl_2(*this, "branch3x3dbl_2.conv", w(64), w(96), same(3, 3)),
      branch3x3dbl_3(*this, "branch3x3dbl_3.conv", w(96), w(96), same(3, 3)),
      branch_pool(*this, "branch_pool.conv", w(c_in), w(c_pool), same(1, 1)) {}

Var InceptionA::operator()(Var x) {
  Scope scope(*x.tape, path());
  return concat_channels({branch1x1(x), branch5x5_2(branch5x5_1(x)), branch3x3dbl_3(branch3x3dbl_2(branch3x3dbl_1(x))),
                          branch_pool(avg_pool(x, kKeep))});
}

InceptionB::InceptionB(Module& parent, const std::string& name, InceptionWidth w)
    : Module(parent, name),
      branch3x3(*this, "branch3x3.conv", w(288), w(384), valid(3, 2)),
      branch3x3dbl_1(*this, "branch3x3dbl_1.conv", w(288), w(64), same(1, 1)),
      branch3x3dbl_2(*this, "branch3x3dbl_2.conv", w(64), w(96), same(3, 3)),
      branch3x3dbl_3(*this, "branch3x3dbl_3.conv", w(96), w(96), valid(3, 2)) {}

Var InceptionB::operator()(Var x) {
  Scope scope(*x.tape, path());
  return concat_channels({branch3x3(x), branch3x3dbl_3(branch3x3dbl_2(branch3x3dbl_1(x))), max_pool(x, kReduce)});
}

InceptionC::InceptionC(Module& parent, const std::string& name, InceptionWidth w, int64_t inner)
    : Module(parent, name),
      branch1x1(*this, "branch1x1.conv", w(768), w(192), same(1, 1)),
      branch7x7_1(*this, "branch7x7_1.conv", w(768), w(inner), same(1, 1)),
      branch7x7_2(*this, "branch7x7_2.conv", w(inner), w(inner), same(1, 7)),
      branch7x7_3(*this, "branch7x7_3.conv", w(inner), w(192), same(7, 1)),
      branch7x7dbl_1(*this, "branch7x7dbl_1.conv", w(768), w(inner), same(1, 1)),
      branch7x7dbl_2(*this, "branch7x7dbl_2.conv", w(inner), w(inner), same(7, 1)),
      branch7x7dbl_3(*this, "branch7x7dbl_3.conv", w(inner), w(inner), same(1, 7)),
      branch7x7dbl_4(*this, "branch7x7dbl_4.conv", w(inner), w(inner), same(7, 1)),
      branch7x7dbl_5(*this, "branch7x7dbl_5.conv", w(inner), w(192), same(1, 7)),
      branch_pool(*this, "branch_pool.conv", w(768), w(192), same(1, 1)) {}

Var InceptionC::operator()(Var x) {
  Scope scope(*x.tape, path());
  return concat_channels({branch1x1(x), branch7x7_3(branch7x7_2(branch7x7_1(x))),
                          branch7x7dbl_5(branch7x7dbl_4(branch7x7dbl_3(branch7x7dbl_2(branch7x7dbl_1(x))))),
                          branch_pool(avg_pool(x, kKeep))});
}

InceptionD::InceptionD(Module& parent, const std::string& name, InceptionWidth w)
    : Module(parent, name),
      branch3x3_1(*this, "branch3x3_1.conv", w(768), w(192), same(1, 1)),
      branch3x3_2(*this, "branch3x3_2.conv", w(192), w(320), valid(3, 2)),
      branch7x7x3_1(*this, "branch7x7x3_1.conv", w(768), w(192), same(1, 1)),
      branch7x7x3_2(*this, "branch7x7x3_2.conv", w(192), w(192), same(1, 7)),
      branch7x7x3_3(*this, "branch7x7x3_3.conv", w(192), w(192), same(7, 1)),
      branch7x7x3_4(*this, "branch7x7x3_4.conv", w(192), w(192), valid(3, 2)) {}

Var InceptionD::operator()(Var x) {
  Scope scope(*x.tape, path());
  return concat_channels({branch3x3_2(branch3x3_1(x)), branch7x7x3_4(branch7x7x3_3(branch7x7x3_2(branch7x7x3_1(x)))),
                          max_pool(x, kReduce)});
}

InceptionE::InceptionE(Module& parent, const std::string& name, InceptionWidth w, int64_t c_in, bool max_pool)
    : Module(parent, name),
      branch1x1(*this, "branch1x1.conv", w(c_in), w(320), same(1, 1)),
      branch3x3_1(*this, "branch3x3_1.conv", w(c_in), w(384), same(1, 1)),
      branch3x3_2a(*this, "branch3x3_2a.conv", w(384), w(384), same(1, 3)),
      branch3x3_2b(*this, "branch3x3_2b.conv", w(384), w(384), same(3, 1)),
      branch3x3dbl_1(*this, "branch3x3dbl_1.conv", w(c_in), w(448), same(1, 1)),
      branch3x3dbl_2(*this, "branch3x3dbl_2.conv", w(448), w(384), same(3, 3)),
      branch3x3dbl_3a(*this, "branch3x3dbl_3a.conv", w(384), w(384), same(1, 3)),
      branch3x3dbl_3b(*this, "branch3x3dbl_3b.conv", w(384), w(384), same(3, 1)),
      branch_pool(*this, "branch_pool.conv", w(c_in), w(192), same(1, 1)),
      max_pool_(max_pool) {}

Var InceptionE::operator()(Var x) {
  Scope scope(*x.tape, path());
  const Var once = branch3x3_1(x), twice = branch3x3dbl_2(branch3x3dbl_1(x));
  return concat_channels({branch1x1(x), concat_channels({branch3x3_2a(once), branch3x3_2b(once)}),
                          concat_channels({branch3x3dbl_3a(twice), branch3x3dbl_3b(twice)}),
                          branch_pool(max_pool_ ? max_pool(x, kKeep) : avg_pool(x, kKeep))});
}

Inception::End::End(Module& parent, const InceptionOptions& o)
    : mixed_7a(parent, "Mixed_7a", {o.narrowing}),
      mixed_7b(parent, "Mixed_7b", {o.narrowing}, 1280, false),
      mixed_7c(parent, "Mixed_7c", {o.narrowing}, 2048, o.max_pool_in_7c),
      fc(parent, "fc", 2048 / o.narrowing, o.classes, {.bias = o.logits_have_bias}) {}

Inception::Inception(const InceptionOptions& o)
    : Module("inception"),
      options_(o),
      conv_1a_(*this, "Conv2d_1a_3x3.conv", 3, 32 / o.narrowing, valid(3, 2)),
      conv_2a_(*this, "Conv2d_2a_3x3.conv", 32 / o.narrowing, 32 / o.narrowing, valid(3, 1)),
      conv_2b_(*this, "Conv2d_2b_3x3.conv", 32 / o.narrowing, 64 / o.narrowing, same(3, 3)),
      conv_3b_(*this, "Conv2d_3b_1x1.conv", 64 / o.narrowing, 80 / o.narrowing, same(1, 1)),
      conv_4a_(*this, "Conv2d_4a_3x3.conv", 80 / o.narrowing, 192 / o.narrowing, valid(3, 1)),
      mixed_5b_(*this, "Mixed_5b", {o.narrowing}, 192, 32),
      mixed_5c_(*this, "Mixed_5c", {o.narrowing}, 256, 64),
      mixed_5d_(*this, "Mixed_5d", {o.narrowing}, 288, 64),
      mixed_6a_(*this, "Mixed_6a", {o.narrowing}),
      mixed_6b_(*this, "Mixed_6b", {o.narrowing}, 128),
      mixed_6c_(*this, "Mixed_6c", {o.narrowing}, 160),
      mixed_6d_(*this, "Mixed_6d", {o.narrowing}, 160),
      mixed_6e_(*this, "Mixed_6e", {o.narrowing}, 192) {
  if (o.complete) end_ = std::make_unique<End>(*this, o);
}

std::array<Var, kInceptionTaps> Inception::operator()(Var x, InceptionTap last) {
  require(last <= last_tap(), "a truncated Inception has no taps behind Mixed_6e");
  std::array<Var, kInceptionTaps> taps;
  // Each part runs in a scope of its own, so that under NoGrad its values are freed when it returns; the taps stay.
  const auto part = [&](Var in, const auto& f) {
    Scope scope(*in.tape, path());
    return f(in);
  };
  const auto tap = [&](InceptionTap at, Var features) {
    taps[static_cast<size_t>(at)] = features;
    return at == last;
  };
  Var h = part(x, [&](Var in) { return max_pool(conv_2b_(conv_2a_(conv_1a_(in))), kReduce); });
  if (tap(InceptionTap::pool64, mean_space(h))) return taps;
  h = part(h, [&](Var in) { return max_pool(conv_4a_(conv_3b_(in)), kReduce); });
  if (tap(InceptionTap::pool192, mean_space(h))) return taps;
  h = part(h, [&](Var in) { return mixed_6a_(mixed_5d_(mixed_5c_(mixed_5b_(in)))); });
  h = part(h, [&](Var in) { return mixed_6e_(mixed_6d_(mixed_6c_(mixed_6b_(in)))); });
  if (tap(InceptionTap::pool768, mean_space(h))) return taps;
  h = part(h, [&](Var in) { return end_->mixed_7c(end_->mixed_7b(end_->mixed_7a(in))); });
  const Var features = mean_space(h);
  if (tap(InceptionTap::pool2048, features)) return taps;
  tap(InceptionTap::logits, end_->fc(features));
  return taps;
}

int64_t Inception::dims(InceptionTap tap) const {
  switch (tap) {
    case InceptionTap::pool64:
      return 64 / options_.narrowing;
    case InceptionTap::pool192:
      return 192 / options_.narrowing;
    case InceptionTap::pool768:
      return 768 / options_.narrowing;
    case InceptionTap::pool2048:
      return 2048 / options_.narrowing;
    case InceptionTap::logits:
      return options_.classes;
  }
  return 0;
}

}  // namespace poise
