// Checks that every op that a model records has cases in op_cases.h. Runs two training steps of every model at a small
// width and inspects the tape.
#include <gtest/gtest.h>

#include <set>

#include "engine/nn/init.h"
#include "engine/optim/parameter_slab.h"
#include "models/registry.h"
#include "tests/support/op_cases.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

using Names = std::set<std::string>;

void take_names(const Tape& tape, Names& names) {
  for (const Node& node : tape.nodes()) names.insert(node.name);
}

void expect_finite(const Tensor& t) {
  for (const float x : values_of<float>(t)) ASSERT_TRUE(x - x == 0);
}

TEST(Coverage, EveryOpOfEveryModelHasACase) {
  Names covered;
  for (const OpCase& c : op_cases(1)) covered.insert(c.op);
  for (const std::string& name : model_names()) {
    SCOPED_TRACE(name);
    const GanModel model = make_model({.name = name,
                                       .width_g = 8,
                                       .width_d = 8,
                                       .latent_size = 20,
                                       .classes = published_model(name).classes > 0 ? 3 : 0});
    Generator& g = *model.generator;
    Discriminator& d = *model.discriminator;
    ParameterSlab slab_g(g, DType::f32, Device::cpu, false), slab_d(d, DType::f32, Device::cpu, false);
    initialise(g, InitScheme::pytorch, 1);
    initialise(d, InitScheme::pytorch, 1);
    TestContext c(cpu_kernels(), size_t{1} << 28);
    constexpr int64_t n = 3;
    const Shape image = g.image_shape;
    OwnedTensor z({n, g.latent_size}, DType::f32, Device::cpu), means({2}, DType::f32, Device::cpu);
    OwnedTensor real({n, image[0], image[1], image[2]}, DType::f32, Device::cpu);
    const OwnedTensor labels = tensor_of<int32_t>({2 * n}, {2, 0, 2, 1, 1, 0});
    const Tensor fake_labels = labels.tensor().slice(n, n);
    c.ctx.kernels->random_normal(c.ctx, RandomStream::latent_d, z.tensor());
    c.ctx.kernels->random_normal(c.ctx, RandomStream::test, real.tensor());

    Names recorded;
    const Var fake = detach(g(c.tape.constant(z.tensor()), fake_labels));
    c.tape.backward(gan_loss_d(d(concat_batch(c.tape.constant(real.tensor()), fake), labels.tensor()), n,
                               GanLoss::hinge, means.tensor()));
    take_names(c.tape, recorded);
    expect_finite(slab_d.grad);
    EXPECT_EQ(values_of<float>(slab_g.grad), std::vector<float>(static_cast<size_t>(slab_g.grad.elements())));

    c.tape.reset();
    c.arena.reset();
    d.set_requires_grad(false);
    c.tape.backward(gan_loss_g(d(g(c.tape.constant(z.tensor()), fake_labels), fake_labels), GanLoss::hinge));
    take_names(c.tape, recorded);
    expect_finite(slab_g.grad);
    double largest = 0;
    for (const float x : values_of<float>(slab_g.grad)) largest = std::max(largest, std::abs(static_cast<double>(x)));
    EXPECT_GT(largest, 0);

    EXPECT_GT(recorded.size(), 5u);
    for (const std::string& op : recorded) EXPECT_TRUE(covered.contains(op)) << "no OpCase for " << op;
  }
}

}  // namespace
}  // namespace poise
