// The runtime of the emulated device: order in and between streams, staging memory, capture and replay, what a capture
// refuses, and errors that appear late.
#include "kernels/gpu/emulated/runtime.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernels/core/memory.h"
#include "kernels/gpu/emulated/stream.h"

namespace poise {
namespace {

using gpu::CopyKind;

constexpr uint64_t kSeeds = 50;

emulator::Runtime& host() { return emulator::runtime(); }

// A number in device memory.
struct DeviceNumber {
  OwnedTensor memory{Shape{1}, DType::i32, Device::emulated};
  int32_t* at() { return memory.tensor().data<int32_t>(); }
  int32_t value() {
    int32_t x;
    copy_to_host(&x, memory.tensor());
    return x;
  }
};

void submit(gpu::Stream& stream, std::function<void()> work) {
  static_cast<emulator::Stream&>(stream).submit(std::move(work));
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Runtime, MemoryStartsAsZeros) {
  for (int round = 0; round < 3; ++round) {
    const OwnedTensor memory({1000}, DType::i32, Device::emulated);
    std::vector<int32_t> values(1000, 7);
    copy_to_host(values.data(), memory.tensor());
    EXPECT_EQ(values, std::vector<int32_t>(1000, 0));
    std::fill(values.begin(), values.end(), 9);
    copy_from_host(memory.tensor(), values.data());
  }
}

TEST(Runtime, AStreamKeepsItsOrder) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    host().seed(seed);
    DeviceNumber number;
    const auto stream = host().make_stream();
    int32_t* x = number.at();
    for (int32_t i = 1; i <= 20; ++i) submit(*stream, [=] { *x = *x * 2 + i % 2; });
    EXPECT_EQ(number.value(), 0b10101010101010101010);
  }
}

// One stream writes and another reads; only the event between them makes the result correct.
int32_t read_in_another_stream(uint64_t seed, bool wait) {
  host().seed(seed);
  DeviceNumber from, to;
  const auto writer = host().make_stream(), reader = host().make_stream();
  const auto written = host().make_event();
  int32_t *x = from.at(), *y = to.at();
  submit(*writer, [=] { *x = 5; });
  host().record(*written, *writer);
  if (wait) host().wait(*reader, *written);
  submit(*reader, [=] { *y = *x; });
  return to.value();
}

TEST(Runtime, AMissingWaitIsSeenAndAWaitIsEnough) {
  int wrong = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    wrong += read_in_another_stream(seed, false) != 5;
    EXPECT_EQ(read_in_another_stream(seed, true), 5) << seed;
  }
  EXPECT_GE(wrong, 5) << "of " << kSeeds << " runs without the wait";
}

// Staging memory must not be changed until the copy is done. Ordinary memory may be reused at once.
int32_t reuse_after_copy(uint64_t seed, bool staging, bool wait) {
  host().seed(seed);
  DeviceNumber number;
  const auto stream = host().make_stream();
  const auto copied = host().make_event();
  int32_t ordinary = 0;
  auto* source = staging ? static_cast<int32_t*>(host().allocate_staging(sizeof(int32_t))) : &ordinary;
  *source = 3;
  host().copy(*stream, CopyKind::to_device, number.at(), source, sizeof *source);
  host().record(*copied, *stream);
  if (wait) host().synchronize(*copied);
  *source = 4;
  const int32_t seen = number.value();
  if (staging) host().release_staging(source);
  return seen;
}

TEST(Runtime, StagingMemoryReusedTooEarlyIsSeen) {
  int wrong = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    wrong += reuse_after_copy(seed, true, false) != 3;
    EXPECT_EQ(reuse_after_copy(seed, true, true), 3) << seed;
    EXPECT_EQ(reuse_after_copy(seed, false, false), 3) << seed;
  }
  EXPECT_GE(wrong, 5) << "of " << kSeeds << " runs without the wait";
}

TEST(Runtime, ACopyToOrdinaryMemoryHasArrivedWhenItReturns) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    host().seed(seed);
    DeviceNumber number;
    const auto stream = host().make_stream();
    int32_t* x = number.at();
    submit(*stream, [=] { *x = 6; });
    int32_t seen = 0;
    host().copy(*stream, CopyKind::to_host, &seen, x, sizeof seen);
    EXPECT_EQ(seen, 6);
  }
}

// A query does not wait: nothing is counted and nothing runs.
TEST(Runtime, AnEventSaysWhetherItWasReached) {
  int early = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    host().seed(seed);
    const auto stream = host().make_stream();
    const auto event = host().make_event();
    EXPECT_TRUE(host().reached(*event)) << "never recorded";
    for (int round = 0; round < 2; ++round) {
      int done = 0;
      submit(*stream, [&] { done = 1; });
      host().record(*event, *stream);
      const auto before = host().counts();
      if (host().reached(*event)) {
        EXPECT_EQ(done, 1);
      } else {
        ++early;
      }
      EXPECT_EQ(host().counts(), before);
      host().synchronize(*stream);
      EXPECT_TRUE(host().reached(*event));
    }
  }
  EXPECT_GE(early, 5) << "of " << 2 * kSeeds;
}

TEST(Runtime, ALateDeviceRunsNothingUnasked) {
  host().run_late(true);
  const auto stream = host().make_stream(), other = host().make_stream();
  int done = 0;
  for (int i = 0; i < 20; ++i) submit(*(i % 2 == 0 ? stream : other), [&] { ++done; });
  EXPECT_EQ(done, 0);
  host().synchronize(*stream);
  EXPECT_GE(done, 10);
  host().run_late(false);
}

TEST(Runtime, AnEventCountsItsRecords) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    host().seed(seed);
    DeviceNumber number;
    const auto stream = host().make_stream(), other = host().make_stream();
    const auto event = host().make_event();
    int32_t* x = number.at();
    host().wait(*other, *event);  // never recorded: no wait
    submit(*other, [=] { *x += 1; });
    host().synchronize(*other);
    host().record(*event, *stream);
    submit(*stream, [=] { *x += 10; });
    host().record(*event, *stream);
    host().wait(*other, *event);  // for the second record, after the +10
    submit(*other, [=] { *x *= 2; });
    EXPECT_EQ(number.value(), 22);
  }
}

TEST(Runtime, ACaptureKeepsWorkAndReplaysIt) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    host().seed(seed);
    DeviceNumber number, copy;
    const auto stream = host().make_stream();
    int32_t *x = number.at(), *y = copy.at();
    host().begin_capture(*stream);
    EXPECT_TRUE(host().capturing());
    submit(*stream, [=] { *x += 1; });
    host().copy(*stream, CopyKind::on_device, y, x, sizeof *x);
    host().fill(*stream, x, 0xff, 1);  // the lowest byte of a small number
    auto graph = host().end_capture(*stream);
    EXPECT_FALSE(host().capturing());
    EXPECT_EQ(number.value(), 0) << "a capture runs nothing";
    host().replay(*graph, *stream);
    host().replay(*graph, *stream);
    graph.reset();  // the replays still run
    EXPECT_EQ(copy.value(), 256);
    EXPECT_EQ(number.value(), 0x1ff);
  }
}

TEST(Runtime, ACaptureRefusesWhatStalls) {
  DeviceNumber number;
  const auto stream = host().make_stream(), other = host().make_stream();
  const auto event = host().make_event();
  int32_t x = 0;
  auto* staging = static_cast<int32_t*>(host().allocate_staging(sizeof x));
  const auto before = host().counts();
  host().begin_capture(*stream);
  const std::function<void()> calls[] = {
      [] { Buffer(64, Device::emulated); },
      [] { host().allocate_staging(64); },
      [&] { host().synchronize(*stream); },
      [&] { host().synchronize(*event); },
      [] { host().synchronize(); },
      [&] { copy_to_host(&x, number.memory.tensor()); },
      [&] { copy_from_host(number.memory.tensor(), &x); },
      [&] { host().copy(*stream, CopyKind::to_host, staging, number.at(), sizeof x); },
      [&] { host().copy(*stream, CopyKind::to_device, number.at(), &x, sizeof x); },
      [&] { host().record(*event, *stream); },
      [&] { host().wait(*stream, *event); },
  };
  for (const auto& call : calls) {
    const std::string message = message_of(call);
    EXPECT_NE(message.find("while a step is captured"), std::string::npos) << &call - calls << ": " << message;
  }
  host().copy(*stream, CopyKind::to_device, number.at(), staging, sizeof x);  // allowed from staging memory
  host().cancel_capture(*stream);
  EXPECT_EQ(host().counts(), before) << "what was refused did not happen";
  host().release_staging(staging);
  EXPECT_EQ(number.value(), 0);
}

// Freeing memory waits for the device and cannot throw: it is postponed to the end of the capture, which reports it.
TEST(Runtime, MemoryReleasedInACaptureIsReportedAtItsEnd) {
  const auto stream = host().make_stream();
  for (const bool staging : {false, true}) {
    for (const bool cancel : {false, true}) {
      void* memory = staging ? host().allocate_staging(4) : host().allocate(4);
      host().begin_capture(*stream);
      if (!staging) host().fill(*stream, memory, 1, 4);
      staging ? host().release_staging(memory) : host().release(memory);
      if (cancel) {
        host().cancel_capture(*stream);
        continue;
      }
      const std::string message = message_of([&] { host().end_capture(*stream); });
      EXPECT_NE(message.find("released while a step was captured"), std::string::npos) << message;
      EXPECT_FALSE(host().capturing());
    }
  }
  host().begin_capture(*stream);  // the earlier errors have no effect on a new capture
  EXPECT_NE(host().end_capture(*stream), nullptr);
}

TEST(Runtime, ErrorsOfWorkAppearWhenSomebodyWaits) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    host().seed(seed);
    DeviceNumber number;
    const auto stream = host().make_stream(), other = host().make_stream();
    int32_t* x = number.at();
    submit(*stream, [] { fail(ErrorKind::runtime, "a kernel broke"); });
    submit(*stream, [=] { *x = 1; });
    EXPECT_EQ(message_of([&] { host().synchronize(*other); }), "");
    EXPECT_EQ(message_of([&] { host().synchronize(*stream); }), "a kernel broke");
    EXPECT_EQ(message_of([&] { host().synchronize(*stream); }), "") << "an error is told once";
    EXPECT_EQ(number.value(), 1);
  }
}

TEST(Runtime, CountsWhatStalls) {
  const auto before = host().counts();
  DeviceNumber number;
  const auto stream = host().make_stream();
  int32_t x = 0;
  host().copy(*stream, CopyKind::to_host, &x, number.at(), sizeof x);
  host().synchronize(*stream);
  EXPECT_EQ(host().counts().allocations, before.allocations + 1);
  EXPECT_EQ(host().counts().copies_to_host, before.copies_to_host + 1);
  EXPECT_EQ(host().counts().synchronizations, before.synchronizations + 1);
}

TEST(RuntimeDeathTest, ProtectedMemoryIsForWorkAlone) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  DeviceNumber number;
  host().protect_memory(true);
  const auto stream = host().make_stream();
  int32_t* x = number.at();
  submit(*stream, [=] { *x = 8; });
  EXPECT_EQ(number.value(), 8);
  EXPECT_DEATH(*static_cast<volatile int32_t*>(x) = 9, "");
  host().protect_memory(false);
  EXPECT_EQ(*x, 8);
}

TEST(Runtime, AMissingDeviceIsOneLineWithARemedy) {
  const std::string why = gpu::why_unavailable(Device::cuda);
  if (why.empty()) GTEST_SKIP() << "there is a CUDA device here";
  EXPECT_EQ(message_of([] { gpu::runtime(Device::cuda); }), why);
  EXPECT_EQ(why.find('\n'), std::string::npos);
  EXPECT_NE(why.find("--device cpu"), std::string::npos) << why;
  EXPECT_EQ(gpu::why_unavailable(Device::emulated), "");
}

}  // namespace
}  // namespace poise
