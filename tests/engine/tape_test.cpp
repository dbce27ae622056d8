// The tape: how gradients are propagated, how long memory is kept, and what errors say.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/nn/layers.h"
#include "engine/optim/parameter_slab.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

using Values = std::vector<double>;

TEST(Tape, FanOutSumsTheGradientsOfAllUses) {
  TestContext c;
  const OwnedTensor memory = tensor_of<double>({2}, {1.0, -2.0});
  const Var x = c.tape.variable(memory.tensor());
  const Var y = add(add(x, leaky_relu(x, 0.5f)), x);  // x > 0: 3x, else 2.5x
  c.tape.keep(y);
  c.tape.backward_from(y, [&] {
    const Tensor dy = c.tape.alloc({2}, DType::f64);
    copy_from_host(dy, Values{10, 100}.data());
    return dy;
  }());
  EXPECT_EQ(values_of<double>(y.value()), (Values{3, -5}));
  EXPECT_EQ(values_of<double>(c.tape.gradient(x)), (Values{30, 250}));
}

TEST(Tape, AddOfAValueToItselfDoublesItsGradient) {
  TestContext c;
  const OwnedTensor memory = tensor_of<double>({1}, {0.5});
  const Var x = c.tape.variable(memory.tensor());
  const Var h = leaky_relu(x, 0);
  c.tape.backward(add(h, h), 3.0);
  EXPECT_EQ(values_of<double>(c.tape.gradient(x)), (Values{6}));
}

TEST(Tape, AParameterUsedTwiceIsOneLeaf) {
  TestContext c;
  OwnedParameter w("w", {1, 1}, {3.0});
  const OwnedTensor memory = tensor_of<double>({1, 1}, {2.0});
  const Var x = c.tape.constant(memory.tensor());
  const Var first = c.tape.parameter(w.parameter), second = c.tape.parameter(w.parameter);
  EXPECT_EQ(first.id, second.id);
  const Var y = linear(linear(x, first, Var{}), second, Var{});  // w^2 x
  c.tape.backward(reshape(y, {1}));
  EXPECT_EQ(values_of<double>(w.grad.tensor()), (Values{12}));  // 2 w x
  // The next step starts from scratch, with nothing left of the old gradient.
  c.tape.reset();
  c.arena.reset();
  c.tape.backward(linear(c.tape.constant(memory.tensor()), c.tape.parameter(w.parameter), Var{}));
  EXPECT_EQ(values_of<double>(w.grad.tensor()), (Values{2}));
}

TEST(Tape, AGradientIsFinalOnceAllUsesHaveAddedToIt) {
  TestContext c;
  OwnedParameter twice("twice", {1, 1}, {3.0}), once("once", {1, 1}, {5.0}), frozen("frozen", {1, 1}, {7.0});
  frozen.parameter.requires_grad = false;
  const OwnedTensor memory = tensor_of<double>({1, 1}, {2.0});
  const auto used = [&](Var x, OwnedParameter& p) { return linear(x, c.tape.parameter(p.parameter), Var{}); };
  Var x = c.tape.constant(memory.tensor());
  for (OwnedParameter* p : {&twice, &frozen, &once, &twice}) x = used(x, *p);
  std::vector<std::pair<std::string, double>> told;
  c.tape.gradient_is_final = [&](const Parameter& p) { told.emplace_back(p.path, *p.grad.data<double>()); };
  c.tape.backward(reshape(x, {1}));
  const std::vector<std::pair<std::string, double>> expected = {{"once", 9.0 * 7 * 2}, {"twice", 2.0 * 3 * 7 * 5 * 2}};
  EXPECT_EQ(told, expected);
}

TEST(Tape, AFrozenParameterReceivesNothingAndCostsNoKernel) {
  Profile trained, frozen;
  for (Profile* profile : {&trained, &frozen}) {
    TestContext c;
    c.ctx.profile = profile;
    OwnedParameter w1("w1", {4, 3}, Values(12, 0.5)), b1("b1", {4}, Values(4, 0.25)), w2("w2", {1, 4}, Values(4, 1.0));
    for (OwnedParameter* p : {&w1, &b1, &w2}) {
      p->parameter.requires_grad = profile == &trained || p == &w1;
      const Values untouched(static_cast<size_t>(p->parameter.shape.elements()), 7.0);
      copy_from_host(p->grad.tensor(), untouched.data());
    }
    const OwnedTensor memory = tensor_of<double>({2, 3}, {1, 2, 3, 4, 5, 6});
    const Var h =
        linear(c.tape.constant(memory.tensor()), c.tape.parameter(w1.parameter), c.tape.parameter(b1.parameter));
    const Var y = linear(relu(h), c.tape.parameter(w2.parameter), Var{});
    c.tape.backward(gan_loss_g(y, GanLoss::wasserstein));
    const bool changed = values_of<double>(b1.grad.tensor()) != Values(4, 7.0);
    EXPECT_EQ(changed, profile == &trained);
    EXPECT_EQ(values_of<double>(w1.grad.tensor()),
              (Values{-2.5, -3.5, -4.5, -2.5, -3.5, -4.5, -2.5, -3.5, -4.5, -2.5, -3.5, -4.5}));
  }
  auto calls = [](const Profile& profile, Pass pass) {
    int64_t count = 0;
    for (const Profile::Row& row : profile.rows()) count += row.work.pass == pass ? row.calls : 0;
    return count;
  };
  EXPECT_EQ(calls(trained, Pass::backward_weight), 2);
  EXPECT_EQ(calls(frozen, Pass::backward_weight), 1);
  EXPECT_EQ(calls(trained, Pass::backward_input), 1);
  EXPECT_EQ(calls(frozen, Pass::backward_input), 1);
}

TEST(Tape, ABranchWithoutLeavesCostsNoBackward) {
  TestContext c;
  Profile profile;
  c.ctx.profile = &profile;
  const OwnedTensor a = tensor_of<double>({1}, {1}), b = tensor_of<double>({1}, {2});
  const Var x = c.tape.variable(a.tensor());
  c.tape.backward(add(leaky_relu(x, 0), tanh(tanh(c.tape.constant(b.tensor())))));
  for (const Profile::Row& row : profile.rows()) {
    EXPECT_FALSE(row.work.pass == Pass::backward && std::string(row.work.op) == "tanh");
  }
  EXPECT_EQ(values_of<double>(c.tape.gradient(x)), (Values{1}));
}

TEST(Tape, DetachStopsTheGradient) {
  TestContext c;
  const OwnedTensor a = tensor_of<double>({1}, {0.25}), b = tensor_of<double>({1}, {0.5});
  const Var x = c.tape.variable(a.tensor()), z = c.tape.variable(b.tensor());
  const Var y = add(leaky_relu(x, 0), detach(tanh(z)));
  EXPECT_FALSE(detach(tanh(z)).requires_grad());
  c.tape.backward(y);
  EXPECT_EQ(values_of<double>(c.tape.gradient(x)), (Values{1}));
  EXPECT_FALSE(c.tape.gradient(z));
}

TEST(Tape, BackwardNeedsAScalarThatDependsOnALeaf) {
  TestContext c;
  const OwnedTensor memory = tensor_of<double>({2}, {1, 2}), scalar = tensor_of<double>({1}, {1});
  EXPECT_THROW(c.tape.backward(tanh(c.tape.variable(memory.tensor()))), Error);
  EXPECT_THROW(c.tape.backward(tanh(c.tape.constant(scalar.tensor()))), Error);
}

// The peak of a training step is about that of its forward pass, because each gradient takes the memory of a value that
// is no longer needed.
TEST(Tape, BackwardRunsInTheMemoryOfTheForwardPass) {
  TestContext c;
  const Shape shape{64, 1000};  // 512,000 bytes
  const OwnedTensor memory(shape, DType::f64, Device::cpu);
  Var y = c.tape.variable(memory.tensor());
  for (int layer = 0; layer < 20; ++layer) y = tanh(y);
  const size_t value_bytes = align_up(y.value().size_bytes());
  EXPECT_EQ(c.arena.peak(), 20 * value_bytes);
  c.tape.backward_from(y, c.tape.alloc(shape, DType::f64));
  EXPECT_LE(c.arena.peak(), 22 * value_bytes);
  EXPECT_EQ(c.arena.in_use(), value_bytes);  // the gradient of the leaf; everything else was given back
}

TEST(Tape, KeptValuesSurviveBackward) {
  TestContext c;
  const OwnedTensor memory = tensor_of<double>({1}, {0.5});
  const Var x = c.tape.variable(memory.tensor());
  const Var kept = tanh(x);
  const Var kept_view = reshape(tanh(x), {1, 1});  // a view keeps the memory it refers to
  c.tape.keep(kept);
  c.tape.keep(kept_view);
  Var y = add(kept, reshape(kept_view, {1}));
  for (int i = 0; i < 5; ++i) y = tanh(y);
  c.tape.backward(y);
  EXPECT_EQ(values_of<double>(kept.value()), (Values{std::tanh(0.5)}));
  ASSERT_TRUE(kept_view.value());
  // If its memory were in the arena's free list, a new tensor could overwrite it.
  for (int i = 0; i < 10; ++i) copy_from_host(c.tape.alloc({1}, DType::f64), Values{99}.data());
  EXPECT_EQ(values_of<double>(kept_view.value()), (Values{std::tanh(0.5)}));
}

// The memory of a residual that only its convolution reads is reused; a residual that other ops read is kept.
TEST(Tape, AResidualLivesAsLongAsItIsRead) {
  enum class Other { nobody, relu, product };
  const auto bytes_of_residual = [](Other reader) {
    TestContext c;
    OwnedParameter w("w", {1, 1, 1, 1}, {2.0});
    const OwnedTensor memory = tensor_of<double>({64, 1, 1, 1}, Values(64, 0.5));
    const Var x = c.tape.variable(memory.tensor());
    const Var residual = add(x, x);  // 1
    const Var weight = c.tape.parameter(w.parameter);
    const Var other = reader == Other::relu      ? leaky_relu(residual, 0)
                      : reader == Other::product ? conv2d(residual, weight, Var{}, {})
                                                 : Var{};
    const size_t before = c.arena.in_use();
    const Var y = conv2d(x, weight, Var{}, {}, nullptr, residual);  // 2 * 0.5 + 1
    EXPECT_EQ(values_of<double>(y.value()), Values(64, 2.0));
    if (reader == Other::relu) {
      EXPECT_EQ(values_of<double>(other.value()), Values(64, 1.0));
    }
    if (reader != Other::product) {
      EXPECT_THROW(residual.value(), Error);
      EXPECT_THROW(c.tape.keep(residual), Error);
      EXPECT_EQ(residual.shape(), (Shape{64, 1, 1, 1}));
    } else {
      EXPECT_EQ(values_of<double>(other.value()), Values(64, 2.0));
      EXPECT_EQ(values_of<double>(residual.value()), Values(64, 1.0));
    }
    const size_t after = c.arena.in_use();
    c.tape.backward(sum_space(reshape(y, {1, 8, 8, 1})));
    EXPECT_EQ(values_of<double>(c.tape.gradient(x)), Values(64, 4.0));
    return after - before;
  };
  EXPECT_EQ(bytes_of_residual(Other::nobody), 0);  // y took its place
  EXPECT_EQ(bytes_of_residual(Other::relu), 0);    // its gradient needs its own output, not the residual
  EXPECT_EQ(bytes_of_residual(Other::product), 64 * sizeof(double));
}

// The output of a ReLU that only one convolution reads is replaced by its gradient, which has then passed the ReLU. The
// gradient is the same whichever ops read the output.
TEST(Tape, ARectifiedValueMakesRoomForItsGradient) {
  enum class Case { read_once, kept, read_twice, also_residual };
  for (const Case how : {Case::read_once, Case::kept, Case::read_twice, Case::also_residual}) {
    SCOPED_TRACE(static_cast<int>(how));
    TestContext c;
    OwnedParameter first("first", {1, 1, 1, 1}, {3.0}), w("w", {1, 1, 1, 1}, {-2.0});
    const OwnedTensor memory = tensor_of<double>({1, 2, 1, 1}, {0.5, -0.5});
    const Var x = c.tape.variable(memory.tensor());
    Conv2dOptions rectified;
    rectified.relu = true;
    const Var h = conv2d(x, c.tape.parameter(first.parameter), Var{}, rectified);  // 1.5, 0
    if (how == Case::kept) c.tape.keep(h);
    Var y = conv2d(h, c.tape.parameter(w.parameter), Var{}, {}, nullptr, how == Case::also_residual ? h : Var{});
    if (how == Case::read_twice) y = add(y, h);
    const double from_h = how == Case::also_residual || how == Case::read_twice ? -1 : -2;
    c.tape.backward(sum_space(y));
    EXPECT_EQ(values_of<double>(c.tape.gradient(x)), (Values{3 * from_h, 0}));
    EXPECT_EQ(values_of<double>(c.tape.gradient(c.tape.parameter(w.parameter))), (Values{1.5}));
    EXPECT_EQ(values_of<double>(c.tape.gradient(c.tape.parameter(first.parameter))), (Values{0.5 * from_h}));
    if (how == Case::kept) {
      EXPECT_EQ(values_of<double>(h.value()), (Values{1.5, 0}));
    }
  }
}

// Sampling and the D step only need the final image, so each module frees all memory except what it returns.
TEST(Tape, NoGradKeepsOnlyWhatAModuleReturns) {
  TestContext c;
  OwnedParameter w("w", {3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1});
  const Shape shape{1000, 3};
  OwnedTensor memory(shape, DType::f64, Device::cpu);
  for (int64_t i = 0; i < memory.tensor().elements(); ++i) memory.tensor().data<double>()[i] = 0.5;
  const size_t value_bytes = align_up(memory.tensor().size_bytes());
  const std::string outer = "G", inner = "G.block";
  Var y;
  {
    Tape::NoGrad no_grad(c.tape);
    Scope scope(c.tape, outer);
    y = c.tape.constant(memory.tensor());
    for (int block = 0; block < 10; ++block) {
      Scope block_scope(c.tape, inner);
      const Var h = linear(tanh(y), c.tape.parameter(w.parameter), Var{});
      y = reshape(add(h, tanh(h)), shape);  // returns a view, which keeps the memory it refers to
    }
    EXPECT_FALSE(y.requires_grad());
  }
  EXPECT_LE(c.arena.peak(), 13 * value_bytes);  // ten blocks' results and the inside of one, not forty values
  EXPECT_EQ(c.arena.in_use(), value_bytes);
  double expected = 0.5;
  for (int block = 0; block < 10; ++block) expected = std::tanh(expected) + std::tanh(std::tanh(expected));
  EXPECT_NEAR(values_of<double>(y.value())[2999], expected, 1e-14);
  // Ops recorded afterwards have gradients again, even for the same parameter.
  c.tape.backward(gan_loss_g(sum_space(reshape(linear(y, c.tape.parameter(w.parameter), Var{}), {1, 3000, 1, 1})),
                             GanLoss::wasserstein));
  EXPECT_NEAR(values_of<double>(w.grad.tensor())[0], -1000 * expected, 1e-9);
}

TEST(Tape, ErrorsNameTheLayerWhatWasExpectedAndWhatCame) {
  TestContext c;
  const std::string path = "G.block2.conv1";
  const OwnedTensor x = tensor_of<double>({1, 2, 2, 3}, Values(12)), w = tensor_of<double>({4, 3, 3, 5}, Values(180));
  auto message = [&](auto&& f) {
    try {
      f();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const Var xv = c.tape.variable(x.tensor()), wv = c.tape.variable(w.tensor());
  {
    Scope scope(c.tape, path);
    EXPECT_EQ(
        message([&] { conv2d(xv, wv, Var{}, {.kh = 3, .kw = 3}); }),
        "G.block2.conv1: conv2d expects input [N,H,W,5] for weight [4,3,3,5] [C_out,kh,kw,C_in] but got [1,2,2,3]");
  }
  EXPECT_EQ(message([&] { add(xv, wv); }),
            "add expects two tensors of one shape but got [1,2,2,3] and [4,3,3,5]");  // no scope, no prefix
  // Errors thrown by a kernel or the arena name the layer as well.
  {
    Scope scope(c.tape, path);
    auto full = [](Context&) { fail(ErrorKind::runtime, "the kernel failed"); };
    EXPECT_EQ(message([&] { c.tape.launch({}, static_cast<void (*)(Context&)>(full)); }),
              "G.block2.conv1: the kernel failed");
  }
}

TEST(Tape, ALaunchMovesTheBytesOfItsOperandsUnlessItSaysOtherwise) {
  TestContext c;
  Profile profile;
  c.ctx.profile = &profile;
  const OwnedTensor x({3, 5}, DType::f64, Device::cpu);
  Tensor y = c.tape.alloc({3, 5}, DType::f64), none;
  Arena::Scratch scratch(*c.ctx.arena, 1000);
  const auto bytes_of = [&](const Work& work, auto* kernel, auto&&... args) {
    profile.clear();
    c.tape.launch(work, kernel, args...);
    return profile.total().work.bytes;
  };
  const auto kernel = +[](Context&, int, const Tensor&, const Tensor&, Tensor&, Tensor&) {};
  EXPECT_EQ(bytes_of({"op"}, kernel, 7, x.tensor(), none, scratch, y), 2 * 15 * 8);
  EXPECT_EQ(bytes_of({.op = "op", .bytes = 11}, kernel, 7, x.tensor(), none, scratch, y), 11);
  const auto with_struct = +[](Context&, const BatchNormStatistics&) {};
  EXPECT_EQ(bytes_of({"op"}, with_struct, BatchNormStatistics{.x = x.tensor(), .mean = y}), 2 * 15 * 8);
}

TEST(Tape, BackwardErrorsNameTheLayerOfTheForwardPass) {
  TestContext c;
  const std::string path = "D.block1.conv2";
  const OwnedTensor memory = tensor_of<double>({1}, {0.5});
  Var y;
  {
    Scope scope(c.tape, path);
    const Var x = c.tape.variable(memory.tensor());
    y = c.tape.record(
        {.name = "failing", .inputs = {x}, .output = c.tape.alloc({1}, DType::f64), .backward = [](Grads& g) {
           auto kernel = [](Context&) { fail(ErrorKind::runtime, "the kernel failed"); };
           g.tape().launch({}, static_cast<void (*)(Context&)>(kernel));
         }});
  }
  try {
    c.tape.backward(y);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "D.block1.conv2: the kernel failed");
  }
}

TEST(Tape, ProfileHasOneRowPerLayerOpAndPass) {
  TestContext c;
  Profile profile;
  c.ctx.profile = &profile;
  const std::string path = "G.linear";
  const OwnedTensor memory = tensor_of<double>({1, 2}, {1, 2});
  OwnedParameter w("w", {1, 2}, {3, 4});
  Var y;
  {
    Scope scope(c.tape, path);
    const Var x = c.tape.variable(memory.tensor());
    y = linear(add(x, x), c.tape.parameter(w.parameter), Var{});
  }
  c.tape.backward(y);
  std::vector<std::string> rows;
  for (const Profile::Row& row : profile.rows()) {
    rows.push_back(row.layer + " " + row.work.op + " " + poise::name_of(row.work.pass));
  }
  EXPECT_EQ(rows, (std::vector<std::string>{"G.linear add forward", "G.linear linear forward",
                                            "G.linear linear backward_weight", "G.linear linear backward_input",
                                            "G.linear copy_gradient backward", "G.linear add_gradients backward"}));
}

TEST(Tape, BatchNormMomentumOverridesTheLayers) {
  TestContext c;
  const OwnedTensor x = tensor_of<double>({2, 1}, {1, 5}), one = tensor_of<double>({1}, {1});
  for (const double momentum : {-1.0, 1.0}) {
    c.tape.reset();
    c.tape.batch_norm_momentum = momentum;
    const OwnedTensor mean = tensor_of<double>({1}, {10}), var = tensor_of<double>({1}, {1});
    const Var ones = c.tape.constant(one.tensor());
    batch_norm(c.tape.constant(x.tensor()), ones, ones, mean.tensor(), var.tensor(), {.momentum = 0.5});
    EXPECT_EQ(values_of<double>(mean.tensor()), (Values{momentum < 0 ? 6.5 : 3.0}));
    EXPECT_EQ(values_of<double>(var.tensor()), (Values{momentum < 0 ? 4.5 : 8.0}));  // the unbiased variance is 8
  }
}

#ifndef NDEBUG
TEST(Tape, DebugBuildsNoticeATensorOfAnEarlierStep) {
  TestContext c;
  const Tensor stale = c.tape.alloc({4}, DType::f32);
  EXPECT_NO_THROW(stale.data<float>());
  c.arena.reset();
  EXPECT_THROW(stale.data<float>(), Error);
}
#endif

TEST(Tensor, IsReadAsItsOwnTypeOnly) {
  const OwnedTensor memory = tensor_of<double>({2, 2}, {1, 2, 3, 4});
  EXPECT_THROW(memory.tensor().data<float>(), Error);
  EXPECT_EQ(values_of<double>(memory.tensor().slice(1, 1)), (Values{3, 4}));
  EXPECT_THROW(memory.tensor().slice(1, 2), Error);
  EXPECT_THROW(memory.tensor().reshaped({3}), Error);
  EXPECT_EQ(memory.tensor().reshaped({4}).shape.to_string(), "[4]");
}

TEST(BackwardFunction, HoldsPlainDataByValue) {
  TestContext c;
  Grads grads(c.tape, 0);
  BackwardFunction empty;
  EXPECT_FALSE(empty);
  int calls = 0;
  int* counter = &calls;
  std::array<double, 16> payload{};
  payload[15] = 42;
  BackwardFunction f = [counter, payload](Grads&) { *counter += payload[15] == 42 ? 1 : 100; };
  payload[15] = 0;
  BackwardFunction copy = f;
  f = BackwardFunction{};
  EXPECT_FALSE(f);
  ASSERT_TRUE(copy);
  copy(grads);
  copy(grads);
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace poise
