// A mean over the ranks is a reduce-scatter and an all-gather, where each rank adds up one slice of the vector in rank
// order. This has the traffic of a ring (each rank sends and receives 2 (P-1)/P n elements), and an order that does not
// depend on arrival, which MPI_Allreduce does not guarantee. Several means may be in progress, in order within each of
// the two halves. Each half has its own communicator, because the second half of one mean may begin before the first
// half of the next on one rank, and after it on another.
// Every collective is non-blocking and is tested until it is done, so that waiting can time out: after limit() seconds
// the waiting ranks send a message to each other, and those that send none are named. Waiting ranks yield their cores.
#include "kernels/ranks/mpi_ranks.h"

#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <mutex>

#include "kernels/core/dispatch.h"
#include "kernels/core/integer.h"
#include "kernels/core/parallel.h"
#include "kernels/ranks/nccl_link.h"

namespace poise {
namespace {

using Clock = std::chrono::steady_clock;

MPI_Datatype mpi_type(DType dtype) {  // for moving data only: MPI adds nothing
  return dtype == DType::f64 ? MPI_DOUBLE : dtype == DType::f32 ? MPI_FLOAT : MPI_UINT16_T;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

int rank_in(MPI_Comm all) {
  int rank = 0;
  MPI_Comm_rank(all, &rank);
  return rank;
}

std::vector<std::string> hosts_in(MPI_Comm all) {
  char name[MPI_MAX_PROCESSOR_NAME] = {};
  int length = 0, count = 0;
  MPI_Get_processor_name(name, &length);
  MPI_Comm_size(all, &count);
  std::vector<char> names(static_cast<size_t>(count) * sizeof name);
  MPI_Allgather(name, sizeof name, MPI_CHAR, names.data(), sizeof name, MPI_CHAR, all);
  std::vector<std::string> hosts;
  for (int r = 0; r < count; ++r) hosts.emplace_back(names.data() + static_cast<size_t>(r) * sizeof name);
  return hosts;
}

// A vector cut into one slice per rank, all of equal length except at the end of the vector.
struct Slices {
  std::vector<int> counts, offsets;
  Slices(int64_t n, int ranks) {
    const int64_t each = ceil_div<int64_t>(n, ranks);
    for (int64_t r = 0; r < ranks; ++r) {
      const int64_t begin = std::min(r * each, n);
      offsets.push_back(static_cast<int>(begin));
      counts.push_back(static_cast<int>(std::min(begin + each, n) - begin));
    }
  }
};

// A mean in progress. It must not move in memory, because MPI holds addresses of its members.
struct Mean {
  Mean(const Tensor& values, const Tensor& scratch, int rank, int ranks)
      : x(values),
        parts(scratch),
        slices(values.elements(), ranks),
        first(slices.offsets[static_cast<size_t>(rank)]),
        mine(slices.counts[static_cast<size_t>(rank)]),
        counts(static_cast<size_t>(ranks), mine) {
    for (int r = 0; r < ranks; ++r) offsets.push_back(r * mine);
  }
  Tensor x, parts;  // parts: this rank's slice of x, from all ranks
  Slices slices;
  int first, mine;
  std::vector<int> counts, offsets;  // of parts
  bool added = false;
  MPI_Request request = MPI_REQUEST_NULL;  // of the half in progress
};

void add_parts(const Mean& mean, int ranks) {
  dispatch_stored(mean.x.dtype, [&]<class T>() {
    constexpr int64_t kChunk = 1024;
    const T* const parts = static_cast<const T*>(mean.parts.bytes);
    T* const sum = mean.x.data<T>() + mean.first;
    const int64_t mine = mean.mine;
    parallel_chunks(mine, kChunk, [=](int64_t begin, int64_t end) {
      const auto share = Computed<T>{1} / static_cast<Computed<T>>(ranks);
      Computed<T> total[kChunk];
      const int64_t n = end - begin;
      for (int64_t i = 0; i < n; ++i) total[i] = computed(parts[begin + i]);
      for (int r = 1; r < ranks; ++r) {
        for (int64_t i = 0; i < n; ++i) total[i] += computed(parts[r * mine + begin + i]);
      }
      for (int64_t i = 0; i < n; ++i) sum[begin + i] = stored<T>(total[i] * share);
    });
  });
}

class MpiRanks final : public Ranks {
 public:
  explicit MpiRanks(MPI_Comm all) : Ranks(rank_in(all), hosts_in(all)), all_(all) {
    for (MPI_Comm* own : {&roll_call_, &first_halves_, &second_halves_}) MPI_Comm_dup(all, own);
    int local = 0;
    for (int r = 0; r < rank(); ++r) local += host_of(r) == host_of(rank()) ? 1 : 0;
    use_gpu_of_local_rank(local);
  }
  // Without leave(), the program is ending because of an error that other ranks may not know of.
  ~MpiRanks() override {
    if (!left_) MPI_Abort(all_, static_cast<int>(ErrorKind::ranks));
  }

  std::vector<std::string> gather_texts(const std::string& mine) override {
    const int length = static_cast<int>(mine.size()), count = size();
    std::vector<int> lengths(static_cast<size_t>(count)), offsets(lengths.size() + 1);
    MPI_Request request;
    MPI_Iallgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, all_, &request);
    wait(request, "an exchange of messages");
    for (size_t r = 0; r < lengths.size(); ++r) offsets[r + 1] = offsets[r] + lengths[r];
    std::string joined(static_cast<size_t>(offsets.back()), '\0');
    MPI_Iallgatherv(mine.data(), length, MPI_CHAR, joined.data(), lengths.data(), offsets.data(), MPI_CHAR, all_,
                    &request);
    wait(request, "an exchange of messages");
    std::vector<std::string> texts;
    for (size_t r = 0; r < lengths.size(); ++r) {
      texts.push_back(joined.substr(static_cast<size_t>(offsets[r]), static_cast<size_t>(lengths[r])));
    }
    return texts;
  }

  void broadcast(void* bytes, size_t size) override {
    constexpr size_t kMost = size_t{1} << 30;  // MPI counts in int
    for (size_t done = 0; done < size; done += kMost) {
      MPI_Request request;
      MPI_Ibcast(static_cast<char*>(bytes) + done, static_cast<int>(std::min(kMost, size - done)), MPI_CHAR, 0, all_,
                 &request);
      wait(request, "a broadcast");
    }
  }

  void wait_for_all() override {
    MPI_Request request;
    MPI_Ibarrier(all_, &request);
    const auto start = Clock::now();
    while (!is_done(request)) {
      if (seconds_since(start) > limit()) fail_for_the_missing("a meeting of all ranks");
      ::usleep(500);  // ranks that are still busy need the core
    }
  }

  void leave() override {
    if (std::exchange(left_, true)) return;
    nccl_.reset();
    MPI_Finalize();
  }

  [[noreturn]] void abort(int exit_code) override {
    MPI_Abort(all_, exit_code);
    ::_exit(exit_code);
  }

 protected:
  void host_begin_mean(const Tensor& x, const Tensor& scratch) override {
    means_.emplace_back(x, scratch, rank(), size());
    Mean& m = means_.back();
    const MPI_Datatype type = mpi_type(x.dtype);
    MPI_Ialltoallv(x.bytes, m.slices.counts.data(), m.slices.offsets.data(), type, m.parts.bytes, m.counts.data(),
                   m.offsets.data(), type, first_halves_, &m.request);
    host_advance_means();
  }

  // Proceeds as far as possible without waiting. Second halves begin in the order of the means.
  void host_advance_means() override {
    for (Mean& m : means_) {
      if (m.added) continue;
      if (!is_done(m.request)) break;
      add_parts(m, size());
      m.added = true;
      const MPI_Datatype type = mpi_type(m.x.dtype);
      MPI_Iallgatherv(MPI_IN_PLACE, 0, type, m.x.bytes, m.slices.counts.data(), m.slices.offsets.data(), type,
                      second_halves_, &m.request);
    }
    while (!means_.empty() && means_.front().added && is_done(means_.front().request)) means_.pop_front();
  }

  void host_finish_means() override {
    const auto finished = [this] {
      host_advance_means();
      return means_.empty();
    };
    wait_until(finished, "the sum of gradients");
  }

  void host_gather(const Tensor& x, const Tensor& all) override {
    const int bytes = static_cast<int>(x.size_bytes());
    MPI_Request request;
    MPI_Iallgather(x.bytes, bytes, MPI_CHAR, all.bytes, bytes, MPI_CHAR, all_, &request);
    wait(request, "an exchange of statistics");
  }

  void gpu_begin_mean(Context& ctx, const Tensor& x) override { nccl().begin_mean(ctx, x); }
  void gpu_finish_means(Context& ctx) override { nccl().finish_means(ctx); }
  void gpu_gather(Context& ctx, const Tensor& x, const Tensor& all) override { nccl().gather(ctx, x, all); }

 private:
  NcclLink& nccl() {
    if (!nccl_) {
      std::string id = is_first() ? NcclLink::new_id() : std::string();
      id.resize(NcclLink::kIdBytes);
      broadcast(id.data(), id.size());
      nccl_ = std::make_unique<NcclLink>(id, rank(), size());
    }
    return *nccl_;
  }

  void wait(MPI_Request& request, const char* what) {
    wait_until([&request] { return is_done(request); }, what);
  }

  static bool is_done(MPI_Request& request) {
    int answer = 0;
    MPI_Test(&request, &answer, MPI_STATUS_IGNORE);
    return answer != 0;
  }

  template <class Done>
  void wait_until(const Done& done, const char* what) {
    constexpr int kEagerTests = 2000, kTestsPerLook = 100;
    const auto start = Clock::now();
    for (int i = 0; i < kEagerTests; ++i) {
      if (done()) return;
    }
    while (seconds_since(start) < limit()) {
      for (int i = 0; i < kTestsPerLook; ++i) {
        if (done()) return;
        ::sched_yield();
      }
    }
    fail_for_the_missing(what);
  }

  // Sends a short message to all other ranks and fails, naming those from which none arrives.
  [[noreturn]] void fail_for_the_missing(const char* what) {
    constexpr double kRollCallSeconds = 3;
    std::vector<bool> there(static_cast<size_t>(size()));
    there[static_cast<size_t>(rank())] = true;
    for (int r = 0; r < size(); ++r) {
      MPI_Request sent;
      if (r != rank()) MPI_Isend(nullptr, 0, MPI_CHAR, r, 0, roll_call_, &sent);
    }
    for (const auto start = Clock::now(); seconds_since(start) < kRollCallSeconds; ::usleep(1000)) {
      int came = 0;
      MPI_Status status;
      MPI_Iprobe(MPI_ANY_SOURCE, 0, roll_call_, &came, &status);
      if (!came) continue;
      MPI_Recv(nullptr, 0, MPI_CHAR, status.MPI_SOURCE, 0, roll_call_, MPI_STATUS_IGNORE);
      there[static_cast<size_t>(status.MPI_SOURCE)] = true;
    }
    std::string missing;
    for (int r = 0; r < size(); ++r) {
      if (!there[static_cast<size_t>(r)]) missing += (missing.empty() ? "" : ", ") + name_of(r);
    }
    fail(ErrorKind::ranks, std::string(what) + " waited " + std::to_string(static_cast<int>(limit())) +
                               " seconds (rank_timeout) for " +
                               (missing.empty() ? "a message that was lost" : missing) +
                               "; all ranks exit, the last checkpoint is intact: continue with --resume");
  }

  const MPI_Comm all_;
  MPI_Comm roll_call_ = MPI_COMM_NULL, first_halves_ = MPI_COMM_NULL, second_halves_ = MPI_COMM_NULL;  // of means
  std::deque<Mean> means_;  // in progress, in the order in which they began
  std::unique_ptr<NcclLink> nccl_;
  bool left_ = false;
};

}  // namespace

std::string mpi_version() {
#ifdef OMPI_MAJOR_VERSION
  return "Open MPI " + std::to_string(OMPI_MAJOR_VERSION) + "." + std::to_string(OMPI_MINOR_VERSION) + "." +
         std::to_string(OMPI_RELEASE_VERSION);
#else
  return "MPI " + std::to_string(MPI_VERSION) + "." + std::to_string(MPI_SUBVERSION);
#endif
}

std::unique_ptr<Ranks> join_mpi_ranks() {
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  return std::make_unique<MpiRanks>(MPI_COMM_WORLD);
}

}  // namespace poise
