// The kernel tables generated from the list (kernels/kernels.inc).
#include <gtest/gtest.h>

#include "tests/support/test_context.h"

namespace poise {
namespace {

TEST(KernelTable, HasNoHole) {
  const KernelTable planning = planning_kernels(cpu_kernels());
  EXPECT_EQ(missing_kernels(cpu_reference_kernels()), "");
  EXPECT_EQ(missing_kernels(cpu_kernels()), "");
  EXPECT_EQ(missing_kernels(planning), "");
}

TEST(KernelTable, AKernelThatIsMissingSaysItsName) {
  KernelTable table = cpu_kernels();
  table.tanh_forward = KernelTable().tanh_forward;
  table.conv2d_plan = nullptr;
  EXPECT_EQ(missing_kernels(table), "tanh_forward, conv2d_plan");
  TestContext c;
  Tensor none;
  try {
    table.tanh_forward(c.ctx, none, none);
    FAIL() << "a kernel that is not there was called";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("\"tanh_forward\""), std::string::npos) << e.what();
  }
}

TEST(KernelTableDeathTest, PlanningTouchesNoMemory) {
  Arena arena = Arena::for_planning(Device::cpu);
  const KernelTable planning = planning_kernels(cpu_kernels());
  StepState step;
  Context ctx{.kernels = &planning, .arena = &arena, .step = &step, .planning = true};
  Tensor y = arena.alloc({1000}, DType::f32);
  planning.fill(ctx, 1.0, y);
  planning.random_normal(ctx, RandomStream::test, y);
  planning.begin_step(ctx, Network::generator, {});
  EXPECT_EQ(step.step, 0u);
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(y.data<float>()[0] = 1, "");
}

}  // namespace
}  // namespace poise
