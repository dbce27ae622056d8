// A mean over the ranks is a reduce-scatter and an all-gather, each rank adding one slice of all in the order of the
// ranks: the traffic of a ring (each sends and receives 2 (P-1)/P n elements), in an order that no arrival changes. MPI
// itself promises no order for MPI_Allreduce.
//
// Every collective is started without blocking and tested until it is done, so that waiting can end: after limit()
// seconds the waiting ranks tell each other that they are there, and those that tell nothing are named. Whoever waits
// leaves its core to others.
#include "kernels/ranks/mpi_ranks.h"

#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <mutex>

#include "kernels/core/dispatch.h"
#include "kernels/core/integer.h"
#include "kernels/core/parallel.h"
#include "kernels/ranks/nccl_link.h"

namespace poise {
namespace {

using Clock = std::chrono::steady_clock;

template <class T>
MPI_Datatype mpi_type() {
  return std::is_same_v<T, double> ? MPI_DOUBLE : MPI_FLOAT;
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

// A vector in size() slices, as equal as may be: the slice of each rank.
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

class MpiRanks final : public Ranks {
 public:
  explicit MpiRanks(MPI_Comm all) : Ranks(rank_in(all), hosts_in(all)), all_(all) {
    MPI_Comm_dup(all, &roll_call_);
    int local = 0;
    for (int r = 0; r < rank(); ++r) local += host_of(r) == host_of(rank()) ? 1 : 0;
    use_gpu_of_local_rank(local);
  }
  // The program ends without a word of farewell, on its way out of an error that others may not know of.
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
    for (int done = 0; !done;) {
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (!done) ::usleep(500);
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
  void host_mean(const Tensor& x, const Tensor& scratch) override {
    dispatch_float(x.dtype, [&]<class T>() {
      const int64_t n = x.elements();
      const Slices slices(n, size());
      const auto me = static_cast<size_t>(rank());
      const int mine = slices.counts[me];
      std::vector<int> counts(slices.counts.size(), mine), offsets(counts.size());
      for (size_t r = 0; r < offsets.size(); ++r) offsets[r] = static_cast<int>(r) * mine;
      T* all = x.data<T>();
      T* parts = static_cast<T*>(scratch.bytes);
      MPI_Request request;
      MPI_Ialltoallv(all, slices.counts.data(), slices.offsets.data(), mpi_type<T>(), parts, counts.data(),
                     offsets.data(), mpi_type<T>(), all_, &request);
      wait(request, "the sum of gradients");
      T* sum = all + slices.offsets[me];
      const T share = T{1} / static_cast<T>(size());
      constexpr int64_t kChunk = 4096;
      parallel_chunks(mine, kChunk, [=, ranks = size()](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) sum[i] = parts[i];
        for (int r = 1; r < ranks; ++r) {
          for (int64_t i = begin; i < end; ++i) sum[i] += parts[int64_t{r} * mine + i];
        }
        for (int64_t i = begin; i < end; ++i) sum[i] *= share;
      });
      MPI_Iallgatherv(MPI_IN_PLACE, 0, mpi_type<T>(), all, slices.counts.data(), slices.offsets.data(), mpi_type<T>(),
                      all_, &request);
      wait(request, "the sum of gradients");
    });
  }

  void host_gather(const Tensor& x, const Tensor& all) override {
    const int bytes = static_cast<int>(x.size_bytes());
    MPI_Request request;
    MPI_Iallgather(x.bytes, bytes, MPI_CHAR, all.bytes, bytes, MPI_CHAR, all_, &request);
    wait(request, "an exchange of statistics");
  }

  void gpu_mean(Context& ctx, const Tensor& x) override { nccl().mean(ctx, x); }
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
    constexpr int kEagerTests = 2000, kTestsPerLook = 100;
    int done = 0;
    for (int i = 0; i < kEagerTests; ++i) {
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done) return;
    }
    for (const auto start = Clock::now(); seconds_since(start) < limit();) {
      for (int i = 0; i < kTestsPerLook; ++i) {
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (done) return;
        ::sched_yield();
      }
    }
    fail_for_the_missing(what);
  }

  // A short message to everybody, and a list of those from whom none came.
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
                               "; all ranks end, the last checkpoint is whole: continue with --resume");
  }

  const MPI_Comm all_;
  MPI_Comm roll_call_ = MPI_COMM_NULL;
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
