/// @file
/// Starts the ranks of a program on GPUs: as threads of one process, or one in each process that a
/// launcher started. Layer: nccl.
#pragma once

#include <rlhf/comm/launch.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/nccl/communicator.hpp>
#include <rlhf/nccl/options.hpp>

#include <cstddef>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nccl.h>

#include <pthread.h>

namespace rlhf::inline v0::nccl {

struct RunOptions {
  Options communicator{};
  /// Ranks of the world. 0: as many as the launcher started, or one a device without a launcher.
  int ranks = 0;
};

/// The device of a process: the one of its number on this host, or the only one it sees, where the
/// launcher shows each process its own.
[[nodiscard]] inline int device_of(comm::Launch const& launch) {
  cuda::expect_devices(1);
  int const devices = cuda::device_count();
  if (launch.local_rank >= devices && devices > 1) {
    fail(Errc::invalid_argument,
         text("rank ", launch.rank, "/", launch.size, " is number ", launch.local_rank,
              " on its host and this process sees ", devices,
              " devices; start at most one process a device, and give the number on the host where "
              "it is not the rank (RLHF_LOCAL_RANK)"));
  }
  return launch.local_rank < devices ? launch.local_rank : 0;
}

namespace detail {

/// Whether the library that was loaded has all that is called: memory that it registers came last.
inline void expect_version() {
  int version = 0;
  check(ncclGetVersion(&version), "ncclGetVersion");
  if (version < 21'900) {
    fail(Errc::nccl,
         text("needs NCCL 2.19 or later, the library that was loaded is number ", version));
  }
}

}  // namespace detail

/// Joins the world of the processes that a launcher started; collective. Makes the process's device
/// current.
///
/// The processes find each other through NCCL itself: rank 0 serves the unique id at
/// `address:port` of the launch (`NCCL_COMM_ID`, which is set during the call; a value that is
/// there counts instead). No server of ours, no files. To form a world again after a failure,
/// number the survivors from 0 and give rank 0's host and another port. The alternative in NCCL
/// from 2.23 on, `ncclCommInitRankScalable` with several ids, starts thousands of ranks faster but
/// needs another way to hand the ids out.
///
/// Errors: invalid_argument, cuda, nccl; timeout where a rank does not come.
[[nodiscard]] inline Communicator connect(comm::Launch const& launch, Options options = {}) {
  detail::expect_version();
  cuda::set_device(device_of(launch));
  char const* const name = "NCCL_COMM_ID";
  bool const ours = launch.size > 1 && std::getenv(name) == nullptr;
  if (ours) {
    setenv(name, text(launch.address, ":", launch.port).c_str(), 1);
  }
  struct Restore {
    char const* name;
    ~Restore() {
      if (name != nullptr) {
        unsetenv(name);
      }
    }
  } const restore{ours ? name : nullptr};
  if (launch.local_size == launch.size) {
    options = detail::for_one_host(options, cuda::device_count());
  }
  return Communicator(unique_id(), launch.rank, launch.size, options);
}

namespace detail {

/// Runs a user's function on a communicator and ends the communicator properly.
template <class Function>
void run_rank(Function& function, Communicator communicator, Milliseconds patience) {
  if constexpr (std::is_invocable_v<Function&, Communicator&>) {
    function(communicator);
  } else {
    function(CommunicatorAccess::share(communicator));
  }
  communicator.finalize(patience);
}

/// Records why a rank's function ended; to be called in a catch clause.
inline void record_failure(Fate& fate, int rank, int size) noexcept {
  auto const failed = [&](Errc code, int culprit, int native, std::string_view what) noexcept {
    try {
      fate.fail(code, culprit, text("rank ", rank, "/", size, " failed: ", what), native);
    } catch (...) {
      fate.fail(code, culprit, what, native);
    }
  };
  try {
    throw;
  } catch (Error const& error) {
    failed(error.code(), error.rank() < 0 ? rank : error.rank(), error.native_code(),
           error.message());
  } catch (std::exception const& error) {
    failed(Errc::aborted, rank, 0, error.what());
  } catch (...) {
    failed(Errc::aborted, rank, 0, "an exception of unknown type");
  }
  fate.abort_all();
}

template <class Function>
struct RankThread {
  Function* function;
  std::shared_ptr<Fate> fate;
  ncclUniqueId id;
  Options options;
  int rank;
  int size;
  pthread_t thread;

  static void* start(void* self_pointer) noexcept {
    auto& self = *static_cast<RankThread*>(self_pointer);
    try {
      cuda::set_device(self.rank);
      run_rank(*self.function, Communicator(self.id, self.rank, self.size, self.options, self.fate),
               self.options.timeout);
    } catch (...) {
      record_failure(*self.fate, self.rank, self.size);
    }
    return nullptr;
  }
};

template <class Function>
void run_threads(Function& function, int ranks, Options options) {
  expect_version();
  cuda::expect_devices(ranks);
  options = detail::for_one_host(options, ranks);
  auto const fate = std::make_shared<Fate>();
  ncclUniqueId const id = unique_id();
  std::vector<RankThread<Function>> threads;
  threads.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    auto& thread = threads.emplace_back(
        RankThread<Function>{&function, fate, id, options, rank, ranks, pthread_t{}});
    if (pthread_create(&thread.thread, nullptr, &RankThread<Function>::start, &thread) != 0) {
      fate->fail(Errc::io, rank, "the system refused a thread for a rank");
      fate->abort_all();
      threads.pop_back();
      break;
    }
  }
  for (auto& thread : threads) {
    pthread_join(thread.thread, nullptr);
  }
  if (fate->failed()) {
    Fate::Failure const& failure = fate->failure();
    throw Error(failure.code, failure.message, failure.rank, failure.native);
  }
}

}  // namespace detail

/// Runs `function(nccl::Communicator)`, or `function(nccl::Communicator&)`, on the ranks of this
/// process and returns when all of them have ended.
///
/// Without a launcher the ranks are threads of this process, one a device, from device 0 on, each
/// with its device current. With one (torchrun, mpirun, srun, or `RLHF_*` variables: see
/// comm/launch.hpp) this process is one rank. So one executable runs as one process with all GPUs
/// and as a process a GPU.
///
/// A function that returns has its communicator finalized. When one throws, the communicators of
/// all ranks of this process are aborted, so that the others' calls throw, too; when all have
/// ended, the first failure is thrown here as an `Error` that names the rank. Errors: cuda where
/// there are too few devices, invalid_argument where the launcher started another number of ranks
/// than `options.ranks` or its variables contradict each other.
template <class Function>
  requires std::is_invocable_v<Function&, Communicator> ||
      std::is_invocable_v<Function&, Communicator&>
void run(Function function, RunOptions options = {},
         comm::Launch const& launch = comm::launch_from_environment()) {
  expects(options.ranks >= 0, "the number of ranks must not be negative");
  if (launch.launcher == comm::Launcher::none) {
    int const devices = cuda::device_count();
    detail::run_threads(function, options.ranks > 0 ? options.ranks : (devices > 0 ? devices : 1),
                        options.communicator);
    return;
  }
  if (options.ranks > 0 && options.ranks != launch.size) {
    fail(Errc::invalid_argument, text("this program needs ", options.ranks, " ranks, ",
                                      comm::to_string(launch.launcher), " started ", launch.size));
  }
  Communicator communicator = connect(launch, options.communicator);
  Communicator const abortable = detail::CommunicatorAccess::share(communicator);
  auto const stop = [&](std::string_view why) {
    detail::CommunicatorAccess::share(abortable).abort(why);
  };
  try {
    detail::run_rank(function, std::move(communicator), options.communicator.timeout);
  } catch (std::exception const& error) {
    stop(error.what());
    throw;
  } catch (...) {
    stop("an exception of unknown type");
    throw;
  }
}

}  // namespace rlhf::inline v0::nccl
