// Worlds of GPUs for tests: which sizes this machine can have, and how every rank ended.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/nccl/world.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <time.h>

namespace gpu {

/// 1, 2, ... up to the number of devices, at most 4.
inline std::vector<int> world_sizes() {
  std::vector<int> sizes;
  int const devices = rlhf::cuda::device_count();
  for (int size = 1; size <= devices && size <= 4; ++size) {
    sizes.push_back(size);
  }
  return sizes;
}
/// Whether a test that needs this many devices can run; says so where it cannot.
inline bool has_devices(int count) {
  if (rlhf::cuda::device_count() >= count) {
    return true;
  }
  std::printf("left out: needs %d devices\n", count);
  return false;
}

/// How one rank, or the whole world, ended.
struct Outcome {
  bool failed = false;
  bool library_error = false;
  rlhf::Errc code = rlhf::Errc::io;
  int rank = -1;
  std::string text;

  [[nodiscard]] bool says(std::string const& what) const {
    return text.find(what) != std::string::npos;
  }
};

inline Outcome outcome_of(rlhf::Error const& error) {
  return {true, true, error.code(), error.rank(), error.what()};
}

/// What `body` throws.
template <class Body>
Outcome outcome_of(Body body) requires requires {
  body();
}
{
  try {
    body();
  } catch (rlhf::Error const& error) {
    return outcome_of(error);
  } catch (std::exception const& error) {
    return {true, false, rlhf::Errc::io, -1, error.what()};
  }
  return {};
}

struct WorldEnd {
  std::vector<Outcome> of;  ///< One a rank.
  Outcome world;            ///< What `nccl::run` threw.
  double seconds = 0;
};

/// Runs `function(Communicator&)` on `size` threads, without a launcher.
template <class Function>
WorldEnd run_world(int size, rlhf::Milliseconds timeout, Function function) {
  WorldEnd end;
  end.of.resize(static_cast<std::size_t>(size));
  std::int64_t const begin = rlhf::steady_nanoseconds();
  rlhf::nccl::RunOptions options;
  options.ranks = size;
  options.communicator.timeout = timeout;
  end.world = outcome_of([&] {
    rlhf::nccl::run(
        [&](rlhf::nccl::Communicator& comm) {
          Outcome& mine = end.of[static_cast<std::size_t>(comm.rank())];
          try {
            function(comm);
          } catch (rlhf::Error const& error) {
            mine = outcome_of(error);
            throw;
          } catch (...) {
            mine.failed = true;
            throw;
          }
        },
        options, rlhf::comm::Launch{});
  });
  end.seconds = static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-9;
  return end;
}

inline constexpr rlhf::Milliseconds long_timeout{60'000};
/// What does not wait for `long_timeout` ends within this.
inline constexpr double soon_seconds = 30;

template <class Function>
WorldEnd run_world(int size, Function function) {
  return run_world(size, long_timeout, std::move(function));
}

inline void sleep_ms(int ms) {
  timespec const time{ms / 1000, static_cast<long>(ms % 1000) * 1'000'000};
  nanosleep(&time, nullptr);
}

}  // namespace gpu
