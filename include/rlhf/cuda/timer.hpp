/// @file
/// Named timers of what streams do, read later. Layer: cuda.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/cuda/event.hpp>
#include <rlhf/cuda/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <cuda_runtime_api.h>

#include <time.h>

namespace rlhf::inline v0::cuda {

/// Measures intervals on streams of one device by pairs of events.
///
///     rlhf::cuda::DeviceTimers device;
///     { auto const scope = device.scope("train", stream); launch(stream); }
///     ...
///     device.collect([&](std::string_view name, std::int64_t nanoseconds) {
///       timers.add(name, nanoseconds);           // a runtime::Timers
///     });
///
/// An interval begins when the stream has come to the beginning of its scope and ends when it has
/// come to the end: what is enqueued between, and what the stream waited for in the meantime.
/// Nothing waits for the device: `collect` takes what has ended until now and leaves the rest.
/// Intervals that find all pairs in use, or whose stream is captured in a graph, are not measured
/// but counted in `missed`: collect once a step.
///
/// Cost: two records of an event a scope; allocates for new names only. Resolution: half a
/// microsecond. Thread safety: one caller, with the device of the construction current.
template <class Late = void>
class BasicDeviceTimers {
  enum class State : unsigned char { open, ended, broken };
  struct Pair {
    Event begin{Timing::on};
    Event end{Timing::on};
    int name = 0;
    State state = State::open;
  };

 public:
  /// An interval until it goes away.
  class Scope {
   public:
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;
    Scope(Scope&&) = delete;
    Scope& operator=(Scope&&) = delete;
    ~Scope() {
      if (pair_ != nullptr) {
        pair_->state = cudaEventRecord(pair_->end.get(), stream_.get()) == cudaSuccess
                           ? State::ended
                           : State::broken;
      }
    }

   private:
    friend class BasicDeviceTimers;
    Scope(Pair* pair, StreamView stream) noexcept : pair_(pair), stream_(stream) {}
    Pair* pair_;
    StreamView stream_;
  };

  /// Makes the events. Errors: cuda.
  explicit BasicDeviceTimers(int pairs = 256) {
    expects(pairs > 0, "device timers need at least one pair of events");
    pairs_.reserve(static_cast<std::size_t>(pairs));
    for (int i = 0; i < pairs; ++i) {
      pairs_.emplace_back();
    }
  }
  BasicDeviceTimers(BasicDeviceTimers const&) = delete;
  BasicDeviceTimers& operator=(BasicDeviceTimers const&) = delete;
  BasicDeviceTimers(BasicDeviceTimers&&) = delete;
  BasicDeviceTimers& operator=(BasicDeviceTimers&&) = delete;
  ~BasicDeviceTimers() = default;

  /// Measures what `stream` does from here to the end of the scope. Errors: cuda.
  [[nodiscard]] Scope scope(std::string_view name, StreamView stream) {
    if (used_ == pairs_.size() || stream.capturing()) {
      ++missed_;
      return Scope(nullptr, stream);
    }
    Pair& pair = pairs_[(first_ + used_) % pairs_.size()];
    pair.name = number_of(name);
    pair.begin.record(stream);
    pair.state = State::open;
    ++used_;
    return Scope(&pair, stream);
  }

  /// Calls `add(name, nanoseconds)` for the intervals that have ended, in the order in which they
  /// began, up to the first that has not. Errors: cuda, where the work on the stream failed.
  template <class Add>
  void collect(Add&& add) {
    while (used_ != 0) {
      Pair& pair = pairs_[first_];
      if (pair.state == State::open || (pair.state == State::ended && !pair.end.done())) {
        return;
      }
      first_ = (first_ + 1) % pairs_.size();
      --used_;
      if (pair.state == State::broken) {
        ++missed_;
        continue;
      }
      add(std::string_view(names_[static_cast<std::size_t>(pair.name)]),
          static_cast<std::int64_t>(static_cast<double>(elapsed_ms(pair.begin, pair.end)) * 1e6));
    }
  }
  /// `collect` until nothing is left but scopes that are open: for the end of a run.
  /// Errors: timeout, where the device does not come that far.
  template <class Add>
  void finish(Add&& add, Milliseconds patience = Milliseconds{30'000}) {
    Deadline const deadline = Deadline::after(patience);
    for (collect(add); used_ != 0 && pairs_[first_].state != State::open; collect(add)) {
      if (deadline.passed()) {
        fail(Errc::timeout, text("the device did not end what the timer ",
                                 names_[static_cast<std::size_t>(pairs_[first_].name)],
                                 " measures within ", patience.count, " ms"));
      }
      timespec const pause{0, 50'000};
      nanosleep(&pause, nullptr);
    }
  }

  /// Intervals whose ends were not read yet.
  [[nodiscard]] std::size_t pending() const noexcept { return used_; }
  [[nodiscard]] std::int64_t missed() const noexcept { return missed_; }

 private:
  [[nodiscard]] int number_of(std::string_view name) {
    std::uint64_t const hash = Fingerprint{}.add(name).value();
    int number = index_.find(
        hash, [&, this](int one) { return names_[static_cast<std::size_t>(one)] == name; });
    if (number < 0) {
      number = static_cast<int>(names_.size());
      names_.emplace_back(name);
      index_.add(hash, number);
    }
    return number;
  }

  std::vector<rlhf::detail::late<Pair, Late>> pairs_;  // a ring
  std::size_t first_ = 0;
  std::size_t used_ = 0;
  std::vector<rlhf::detail::late<std::string, Late>> names_;
  rlhf::detail::HashIndex<Late> index_;
  std::int64_t missed_ = 0;
};

using DeviceTimers = BasicDeviceTimers<>;

}  // namespace rlhf::inline v0::cuda
