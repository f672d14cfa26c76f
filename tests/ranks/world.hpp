// Runs a function on every rank of a world of threads and says how each rank ended.
#pragma once

#include <rlhf/comm/local_world.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ranks {

/// How one rank, or the whole world, ended.
struct Outcome {
  bool failed = false;
  bool library_error = false;  ///< An rlhf::Error, so that the members below say something.
  rlhf::Errc code = rlhf::Errc::io;
  int rank = -1;
  std::string text;

  [[nodiscard]] bool says(std::string const& what) const {
    return text.find(what) != std::string::npos;
  }
};

struct WorldEnd {
  std::vector<Outcome> of;  ///< One a rank.
  Outcome world;            ///< What run_local threw.
  double seconds = 0;
};

/// Long enough that only a wait which nobody ends reaches it.
inline constexpr rlhf::Milliseconds long_timeout{60'000};
/// A call that does not wait for `long_timeout` ends within this, on a slow machine, too.
inline constexpr double soon_seconds = 20;

inline Outcome outcome_of(rlhf::Error const& error) {
  return {true, true, error.code(), error.rank(), error.what()};
}

/// Runs `function(Local&)` on `count` ranks.
template <class Function>
WorldEnd run_world(int count, rlhf::Milliseconds timeout, Function function) {
  WorldEnd end;
  end.of.resize(static_cast<std::size_t>(count));
  std::int64_t const begin = rlhf::steady_nanoseconds();
  try {
    rlhf::comm::run_local(
        count,
        [&](rlhf::comm::Local comm) {
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
        rlhf::comm::LocalOptions{timeout});
  } catch (rlhf::Error const& error) {
    end.world = outcome_of(error);
  }
  end.seconds = static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-9;
  return end;
}

template <class Function>
WorldEnd run_world(int count, Function function) {
  return run_world(count, long_timeout, std::move(function));
}

/// Lets threads meet without the library: `arrive` returns once `count` threads have called it.
class Meeting {
 public:
  void arrive(int count) {
    ++arrived_;
    while (arrived_.load() < count) {
      sleep_us(20);
    }
  }
  static void sleep_us(int us) {
    timespec const time{us / 1'000'000, static_cast<long>(us % 1'000'000) * 1'000};
    nanosleep(&time, nullptr);
  }
  static void sleep_ms(int ms) { sleep_us(1000 * ms); }

 private:
  std::atomic<int> arrived_{0};
};

}  // namespace ranks
