// ldmatrix and mma.sync. Fragments are laid out as in the PTX ISA ("Matrix Fragments for mma.m16n8k16 with floating
// point type", "... mma.m16n8k8", "ldmatrix"): with g = lane / 4 and t = lane % 4,
//   m16n8k16  a0..a3: two columns each of A at (g,2t) (g+8,2t) (g,2t+8) (g+8,2t+8);  b0, b1: rows 2t, 2t+8 of column g
//   m16n8k8   a0..a3: (g,t) (g+8,t) (g,t+4) (g+8,t+4);                               b0, b1: (t,g) (t+4,g)
//   c, d      (g,2t) (g,2t+1) (g+8,2t) (g+8,2t+1)
// Products are exact; the sum of the k terms and the accumulator is rounded once, towards zero, which is the coarsest
// rounding that tensor cores have been observed to do.
#include <cstring>

#include "tests/ptx/interpreter/access.h"
#include "tests/ptx/interpreter/forms.h"

namespace poise::ptx {
namespace {

void require_all(uint32_t lanes, const char* what) {
  if (lanes != kAll) fault(std::string(what) + " without all 32 lanes of the warp");
}

// c: number of matrices. Lane l holds the address of row l % 8 of matrix l / 8.
template <bool kTransposed>
void load_matrices(Warp& w, const Instruction& i, uint32_t lanes) {
  require_all(lanes, "ldmatrix");
  const uint32_t* to = &w.block->launch->program->operands[i.list];
  const auto count = static_cast<int>(i.c);
  const uint32_t naming = count == 4 ? kAll : (uint32_t{1} << 8 * count) - 1;
  uint64_t addresses[kLanes];
  addresses_of(w, i, i.a, addresses);
  check_shared(w, addresses, naming, 16, "ldmatrix");
  uint16_t rows[kLanes][8];
  for (int row = 0; row < 8 * count; ++row) std::memcpy(rows[row], w.block->shared + addresses[row], 16);
  for (int m = 0; m < count; ++m) {
    uint32_t* registers = w.lanes<uint32_t>(to[m]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const uint32_t low = kTransposed ? rows[8 * m + 2 * t][g] : rows[8 * m + g][2 * t];
      const uint32_t high = kTransposed ? rows[8 * m + 2 * t + 1][g] : rows[8 * m + g][2 * t + 1];
      registers[lane] = low | high << 16;
    }
  }
  count_shared(w, i, addresses, naming, 16);
}

float towards_zero(double x) {
  const auto bits = std::bit_cast<uint64_t>(x);
  return static_cast<float>(std::bit_cast<double>(bits & ~uint64_t{0x1fffffff}));
}

// d = a b + c for matrices of 16 x K and K x 8.
template <int K>
void multiply(const float (&a)[16][K], const float (&b)[K][8], const float (&c)[16][8], float (&d)[16][8]) {
  for (int row = 0; row < 16; ++row) {
    double sum[8];
    for (int col = 0; col < 8; ++col) sum[col] = static_cast<double>(c[row][col]);
    for (int k = 0; k < K; ++k) {
      const auto x = static_cast<double>(a[row][k]);
      for (int col = 0; col < 8; ++col) sum[col] += x * static_cast<double>(b[k][col]);
    }
    for (int col = 0; col < 8; ++col) d[row][col] = towards_zero(sum[col]);
  }
}

float low_bf16(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high_bf16(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }
float tf32(uint32_t bits) { return std::bit_cast<float>(bits & ~0x1fffu); }

struct Registers {
  const uint32_t *a[4], *b[2], *c[4];
  uint32_t* d[4];
};

Registers registers_of(Warp& w, const Instruction& i) {
  const uint32_t* places = &w.block->launch->program->operands[i.list];
  Registers r;
  for (int n = 0; n < 4; ++n) r.d[n] = w.lanes<uint32_t>(places[n]);
  for (int n = 0; n < 4; ++n) r.a[n] = w.lanes<uint32_t>(places[4 + n]);
  for (int n = 0; n < 2; ++n) r.b[n] = w.lanes<uint32_t>(places[8 + n]);
  for (int n = 0; n < 4; ++n) r.c[n] = w.lanes<uint32_t>(places[10 + n]);
  return r;
}

template <int K>
void finish(const Registers& r, const float (&a)[16][K], const float (&b)[K][8]) {
  float c[16][8], d[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int n = 0; n < 4; ++n) c[g + n / 2 * 8][2 * t + n % 2] = std::bit_cast<float>(r.c[n][lane]);
  }
  multiply<K>(a, b, c, d);
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int n = 0; n < 4; ++n) r.d[n][lane] = std::bit_cast<uint32_t>(d[g + n / 2 * 8][2 * t + n % 2]);
  }
}

void multiply_bf16(Warp& w, const Instruction& i, uint32_t lanes) {
  require_all(lanes, "mma.sync");
  const Registers r = registers_of(w, i);
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int n = 0; n < 4; ++n) {
      a[g + n % 2 * 8][2 * t + n / 2 * 8] = low_bf16(r.a[n][lane]);
      a[g + n % 2 * 8][2 * t + n / 2 * 8 + 1] = high_bf16(r.a[n][lane]);
    }
    for (int n = 0; n < 2; ++n) {
      b[2 * t + n * 8][g] = low_bf16(r.b[n][lane]);
      b[2 * t + n * 8 + 1][g] = high_bf16(r.b[n][lane]);
    }
  }
  finish<16>(r, a, b);
}

void multiply_tf32(Warp& w, const Instruction& i, uint32_t lanes) {
  require_all(lanes, "mma.sync");
  const Registers r = registers_of(w, i);
  float a[16][8], b[8][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int n = 0; n < 4; ++n) a[g + n % 2 * 8][t + n / 2 * 4] = tf32(r.a[n][lane]);
    for (int n = 0; n < 2; ++n) b[t + n * 4][g] = tf32(r.b[n][lane]);
  }
  finish<8>(r, a, b);
}

std::vector<uint32_t> places_of(Decoding& d, const Operand& vector, size_t count) {
  if (vector.kind != Operand::Kind::vector || vector.parts.size() != count) {
    d.refuse("expected " + std::to_string(count) + " registers in braces");
  }
  std::vector<uint32_t> places;
  for (const Operand& part : vector.parts) places.push_back(d.place(part, 'w'));
  return places;
}

}  // namespace

bool decode_tensor_core(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  const std::vector<Operand>& o = text.operands;
  if (opcode.parts[0] == "ldmatrix") {
    constexpr std::string_view kStart = "ldmatrix.sync.aligned.m8n8.x";
    if (opcode.whole.substr(0, kStart.size()) != kStart || !opcode.has("shared") || !opcode.has("b16")) return false;
    i.c = static_cast<uint32_t>(opcode.whole[kStart.size()] - '0');
    if ((i.c != 1 && i.c != 2 && i.c != 4) || o.size() != 2) d.refuse("expected .x1, .x2 or .x4");
    i.some = i.all = opcode.has("trans") ? load_matrices<true> : load_matrices<false>;
    i.kind = Kind::matrix_load;
    i.space = Space::shared;
    i.bytes = i.used_bytes = 16;
    i.list = d.add_list(places_of(d, o[0], i.c));
    d.set_address(o[1], i);
    return true;
  }
  if (opcode.parts[0] != "mma") return false;
  if (opcode.whole == "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32") {
    i.some = i.all = multiply_bf16;
  } else if (opcode.whole == "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32") {
    i.some = i.all = multiply_tf32;
  } else {
    return false;
  }
  if (o.size() != 4) d.refuse("expected d, a, b, c");
  i.kind = Kind::matrix_product;
  std::vector<uint32_t> places;
  const size_t counts[] = {4, 4, 2, 4};
  for (size_t n = 0; n < 4; ++n) {
    for (const uint32_t place : places_of(d, o[n], counts[n])) places.push_back(place);
  }
  i.list = d.add_list(places);
  return true;
}

}  // namespace poise::ptx
