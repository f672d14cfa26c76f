/// @file
/// One scope for timers and trace. Layer: runtime.
#pragma once

#include <rlhf/runtime/clock.hpp>
#include <rlhf/runtime/timers.hpp>
#include <rlhf/runtime/trace.hpp>

#include <cstdint>
#include <string_view>

namespace rlhf::inline v0::runtime {

/// Times what its scope does, and traces it as a span, by the same two readings of the clock, so
/// that the spans of a name add up to its timer. Either may be null.
///
///     { rlhf::runtime::Phase const phase(&timers, &trace, "train", "policy"); ... }
template <class Clock>
class BasicPhase {
 public:
  BasicPhase(BasicTimers<Clock>* timers, BasicTrace<Clock>* trace, std::string_view name,
             std::string_view category = "", std::int32_t lane = 0)
      : timers_(timers),
        trace_(trace) {
    std::int64_t const begin = Clock::now();
    if (trace_ != nullptr) {
      event_ = trace_->open(name, category, lane, begin);
    }
    if (timers_ != nullptr) {
      timers_->begin(name, begin);
    }
  }
  BasicPhase(BasicPhase const&) = delete;
  BasicPhase& operator=(BasicPhase const&) = delete;
  BasicPhase(BasicPhase&&) = delete;
  BasicPhase& operator=(BasicPhase&&) = delete;
  ~BasicPhase() {
    std::int64_t const end = Clock::now();
    if (timers_ != nullptr) {
      timers_->end(end);
    }
    if (trace_ != nullptr) {
      trace_->close(event_, end);
    }
  }

 private:
  BasicTimers<Clock>* timers_;
  BasicTrace<Clock>* trace_;
  TraceEvent event_{};
};
using Phase = BasicPhase<SteadyClock>;

}  // namespace rlhf::inline v0::runtime
