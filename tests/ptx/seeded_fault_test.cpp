// Faults that the emulation on the host cannot detect, since it compiles the kernels against its own headers. Each is
// inserted into the PTX that nvcc generates (operands of an asm string in the wrong order, a copy of the wrong size, a
// missing barrier). A test of the kernels, run on the stand-in, must then fail for the given reason.
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

// In every kernel whose name matches the regular expression `kernel`, matches of `from` are replaced with `to`.
struct Fault {
  const char* name;
  const char *kernel, *from, *to;
  const char *program, *cases;  // the test that fails
  const char* complaint;        // and its message
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

constexpr const char *kConv = "gpu_conv_test", *kOp = "gpu_op_test", *kSparse = "gpu_sparse_test";
constexpr const char *kBlocks = "gpu_block_conv_test", *kDevice = "gpu_kernel_test";
constexpr const char* kAgrees = "*AgreesWithTheCpu/cuda_ragged";
constexpr const char* kFew = "*AgreesWithTheCpu/cuda_few_channels";
constexpr const char* kSelects = "*Selection*/cuda";
constexpr const char* kSelection = "best_kernel|histogram_kernel|choose_bucket_kernel|ties_kernel|apply_kernel";
constexpr const char* kBlock = "*AddsUpManyTiles/cuda_kernel_3_upsample_1";
// Patterns for the operands of mma: everything up to the list of A or B, and a list of four registers.
#define UP_TO_A "(mma[^{]*\\{[^}]*\\}, \\{)"
#define UP_TO_B "(mma[^{]*\\{[^}]*\\}, \\{[^}]*\\}, \\{)"
#define GATHERED_ELEMENT "(ld.global[a-z0-9.]*\\.[ub]16 .*\\[%rd[0-9]*)\\]"
#define FOUR "([^,]*), *([^,]*), *([^,]*), *([^}]*)"

const Fault kFaults[] = {
    // tensor-core asm strings: order of operands
    {"bf16_a_registers_swapped", "implicit_gemm_kernelINS0_4Bf16", UP_TO_A FOUR, "$1$2,$4,$3,$5", kConv, kAgrees,
     "limit"},
    {"bf16_a_halves_swapped", "implicit_gemm_kernelINS0_4Bf16", UP_TO_A FOUR, "$1$3,$2,$5,$4", kConv, kAgrees, "limit"},
    {"bf16_b_registers_swapped", "implicit_gemm_kernelINS0_4Bf16", UP_TO_B "([^,]*), *([^}]*)", "$1$3,$2", kConv,
     kAgrees, "limit"},
    {"bf16_results_swapped", "weight_gradient_gemm_kernelINS0_4Bf16", "(mma[^{]*\\{)" FOUR, "$1$2,$4,$3,$5", kConv,
     kAgrees, "limit"},
    {"tf32_a_registers_swapped", "implicit_gemm_kernelINS0_4Tf32", UP_TO_A FOUR, "$1$2,$4,$3,$5", kConv, kAgrees,
     "limit"},
    {"tf32_b_registers_swapped", "weight_gradient_gemm_kernelINS0_4Tf32", UP_TO_B "([^,]*), *([^}]*)", "$1$3,$2", kConv,
     kAgrees, "limit"},
    {"a_product_that_forgets_the_sum", "implicit_gemm_kernelINS0_4Bf16", "(mma.*\\{)[^}]*(\\};)",
     "$010f00000000,0f00000000,0f00000000,0f00000000$2", kConv, kAgrees, "limit"},
    {"block_a_registers_swapped", "dsd_gemm_kernelINS0_4Bf16", UP_TO_A FOUR, "$1$2,$4,$3,$5", kBlocks, kBlock, "limit"},
    {"block_outer_results_swapped", "sdd_gemm_kernelINS0_4Bf16", "(mma[^{]*\\{)" FOUR, "$1$3,$2,$4,$5", kBlocks, kBlock,
     "limit"},
    // loads of fragments
    {"a_load_that_does_not_transpose", "weight_gradient_gemm_kernelINS0_4Bf16", "\\.trans", "", kConv, kAgrees,
     "limit"},
    {"a_load_that_transposes", "implicit_gemm_kernelINS0_4Bf16ELNS0_11WeightOrderE0", "x4\\.shared", "x4.trans.shared",
     kConv, kAgrees, "limit"},
    {"matrices_in_the_wrong_order", "implicit_gemm_kernelINS0_4Bf16", "(ldmatrix[^{]*\\{)" FOUR, "$1$2,$4,$3,$5", kConv,
     kAgrees, "limit"},
    {"a_row_that_is_not_aligned", "dsd_gemm_kernelINS0_4Bf16", "(ldmatrix.*\\[%r[0-9]*)", "$1+8", kBlocks, kBlock,
     "misaligned: ldmatrix"},
    // few channels, which are gathered element by element
    {"an_element_of_the_next_channel", "implicit_gemm_kernelINS0_4Bf16.*Lb1E", GATHERED_ELEMENT, "$1+2]", kConv, kFew,
     "limit"},
    {"an_element_of_the_next_channel_in_a_weight_gradient", "weight_gradient_gemm_kernelINS0_4Bf16.*Lb1E",
     GATHERED_ELEMENT, "$1+2]", kConv, kFew, "limit"},
    // asynchronous copies
    {"a_copy_of_8_bytes", "implicit_gemm_kernelINS0_4Bf16", "cp.async.cg(.*), 16,", "cp.async.ca$1, 8,", kConv, kAgrees,
     "more valid bytes than bytes"},
    {"a_copy_without_zero_fill", "implicit_gemm_kernelINS0_4Bf16", "(cp.async.cg.*, 16), %r[0-9]*", "$1", kConv,
     kAgrees, "limit"},
    {"a_wait_for_too_few_groups", "implicit_gemm_kernel", "wait_group [012]", "wait_group 3", kConv, kAgrees,
     "error nan"},
    {"no_wait_at_all", "weight_gradient_gemm_kernel", "cp.async.wait_group [0-9];", "", kConv, kAgrees, "error nan"},
    {"groups_that_are_never_closed", "implicit_gemm_kernel", "cp.async.commit_group;", "", kConv, kAgrees, "error nan"},
    // barriers and collectives of a warp
    {"no_barrier_in_a_ring", "implicit_gemm_kernel", "bar.sync 0;", "", kConv, kAgrees, "limit"},
    {"no_barrier_in_a_sum", "combine_moments_kernel|chunk_moments_kernel", "bar.sync 0;", "", kOp, "*cuda_batch_norm*",
     "is off by"},
    {"a_mask_of_half_a_warp", kSelection, "(shfl.*), %r[0-9]*;", "$1, 65535;", kSparse, kSelects,
     "are not in the mask they name"},
    {"a_shuffle_from_the_wrong_lane", kSelection, "(shfl.sync.bfly.b32 [^,]*, [^,]*), [^,]*,", "$1, 3,", kSparse,
     kSelects, "FAILED"},
    {"a_ticket_that_counts_twice", kSelection, "(atom.shared.add.u32.*), 1;", "$1, 2;", kSparse, kSelects, "FAILED"},
    // addresses, bounds and launches
    {"one_element_too_many", "relu_forward_kernel", "setp.ge.s64", "setp.gt.s64", kOp, "*MatchesTheCpu/cuda_relu*",
     "past the output"},
    {"a_vector_that_is_not_aligned", "relu_forward_kernel", "(ld.global.v4.*\\[%rd[0-9]*)", "$1+4", kOp,
     "*MatchesTheCpu/cuda_relu*", "misaligned: load from global memory"},
    {"a_parameter_at_the_wrong_place", "implicit_gemm_kernel", "(ld.param.u64 .*\\+)80", "$0188", kConv, kAgrees,
     "FAILED"},
    {"launch_bounds_below_the_launch", "implicit_gemm_kernel", "\\.maxntid 128", ".maxntid 64", kConv, kAgrees,
     "more threads than its launch bounds promise"},
    {"an_instruction_that_nobody_knows", "relu_forward_kernel", "setp.gt.f32", "setp.gt.ftz.f32", kOp,
     "*MatchesTheCpu/cuda_relu*", "setp.gt.ftz.f32 is not known"},
    // conversions
    {"bf16_rounded_down", "convert_kernel", "cvt.rn.bf16.f32", "cvt.rz.bf16.f32", kConv, "*Conversion*/cuda",
     "cvt.rz.bf16.f32 is not known"},
    {"numbers_of_another_step", "random_normal_kernel", "xor.b32", "or.b32", kDevice, "*RandomNumbers*/cuda", "FAILED"},
};

test::ProgramResult run(const Fault& fault, const std::vector<std::string>& environment) {
  test::ProgramSetting setting;
  setting.environment = environment;
  setting.environment.insert(setting.environment.end(), {"LD_LIBRARY_PATH=" POISE_STAND_IN, "STAND_IN_ORDER=random"});
  return test::run_program_in(setting, std::string(POISE_TEST_PROGRAMS "/") + fault.program,
                              {std::string("--gtest_filter=") + fault.cases});
}

class SeededFault : public testing::TestWithParam<Fault> {};

TEST_P(SeededFault, IsCaught) {
  const Fault& fault = GetParam();
  const test::TemporaryFolder folder;
  const std::string change = folder / "change";
  std::ofstream(change) << "kernel " << fault.kernel << "\nfrom " << fault.from << "\nto " << fault.to << "\n";
  const test::ProgramResult result = run(fault, {"STAND_IN_CHANGE=" + change});
  const std::string said = result.out + result.err;
  EXPECT_NE(result.exit_code, 0) << "nobody noticed";
  EXPECT_NE(said.find(fault.complaint), std::string::npos) << said.substr(0, 3000);
}
INSTANTIATE_TEST_SUITE_P(All, SeededFault, testing::ValuesIn(kFaults),
                         [](const auto& p) { return std::string(p.param.name); });

// Without a fault, the same tests pass.
TEST(SeededFaults, AreWhatMakesTheTestsFail) {
  std::set<std::string> seen;
  for (const Fault& fault : kFaults) {
    if (!seen.insert(std::string(fault.program) + fault.cases).second) continue;
    const test::ProgramResult result = run(fault, {});
    EXPECT_EQ(result.exit_code, 0) << fault.program << " " << fault.cases << "\n" << result.out.substr(0, 2000);
    EXPECT_EQ(result.out.find("Running 0 tests"), std::string::npos) << fault.program << " " << fault.cases;
  }
}

}  // namespace
}  // namespace poise
