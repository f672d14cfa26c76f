/// @file
/// What happened when: spans, instants and counters of a rank, in memory of a fixed size.
/// Layer: runtime.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/runtime/clock.hpp>
#include <rlhf/runtime/detail/name_table.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::runtime {

enum class TraceKind : std::uint8_t { span, instant, counter };

/// One thing that happened. Names are numbers of the trace's table.
struct TraceEvent {
  std::int64_t begin = 0;  ///< Nanoseconds of the clock.
  std::int64_t end = 0;    ///< As `begin` for what is no span.
  double value = 0;        ///< Of a counter.
  std::int32_t name = 0;
  std::int32_t category = 0;
  std::int32_t lane = 0;  ///< What runs side by side has different ones: a row in viewers.
  TraceKind kind = TraceKind::span;
};

/// Records events into a buffer that never grows; what does not fit is counted and dropped.
///
///     rlhf::runtime::Trace trace(1 << 16);
///     { auto span = trace.scope("train", "policy"); ... }
///     auto const all = rlhf::runtime::gather(comm, trace);   // runtime/trace_gather.hpp
///
/// A span is recorded when it ends, so that the buffer is in the order of ends. Spans of one lane
/// must nest; `scope` on one lane does.
/// Cost: 40 bytes an event; two readings of the clock and two hashes of names a span. Allocates for
/// new names only. Thread safety: one caller; a rank, and each thread of it, has its own.
template <class Clock = SteadyClock>
class BasicTrace {
  using Late = rlhf::detail::late<void, Clock>;

 public:
  /// A span until it goes away.
  class Scope {
   public:
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;
    Scope(Scope&&) = delete;
    Scope& operator=(Scope&&) = delete;
    ~Scope() { trace_->close(event_, Clock::now()); }

   private:
    friend class BasicTrace;
    Scope(BasicTrace& trace, TraceEvent const& event) noexcept : trace_(&trace), event_(event) {}
    BasicTrace* trace_;
    TraceEvent event_;
  };

  /// Room for so many events; 0 records nothing, and drops nothing.
  explicit BasicTrace(std::size_t capacity = std::size_t{1} << 16) : capacity_(capacity) {
    events_.reserve(capacity);
    name_lane(0, "main");
  }
  BasicTrace(BasicTrace const&) = delete;
  BasicTrace& operator=(BasicTrace const&) = delete;
  BasicTrace(BasicTrace&&) = delete;
  BasicTrace& operator=(BasicTrace&&) = delete;
  ~BasicTrace() = default;

  [[nodiscard]] Scope scope(std::string_view name, std::string_view category = "",
                            std::int32_t lane = 0) {
    return Scope(*this, open(name, category, lane, Clock::now()));
  }
  /// `scope` and its end, for what reads the clock itself.
  [[nodiscard]] TraceEvent open(std::string_view name, std::string_view category, std::int32_t lane,
                                std::int64_t begin) {
    TraceEvent event = make(TraceKind::span, name, category, lane);
    event.begin = begin;
    return event;
  }
  void close(TraceEvent event, std::int64_t end) noexcept {
    event.end = end;
    record(event);
  }
  /// A span that was measured elsewhere, on this clock.
  void span(std::string_view name, std::string_view category, std::int32_t lane, std::int64_t begin,
            std::int64_t end) {
    expects(begin <= end, "a span cannot end before it begins");
    close(open(name, category, lane, begin), end);
  }
  void instant(std::string_view name, std::string_view category = "", std::int32_t lane = 0) {
    TraceEvent event = make(TraceKind::instant, name, category, lane);
    event.begin = event.end = Clock::now();
    record(event);
  }
  /// The value that `name` has from now on.
  void counter(std::string_view name, double value) {
    TraceEvent event = make(TraceKind::counter, name, "", 0);
    event.begin = event.end = Clock::now();
    event.value = value;
    record(event);
  }
  /// What viewers call a lane; without it they show its number.
  void name_lane(std::int32_t lane, std::string_view name) {
    int const number = names_.of(name);
    for (LaneName& one : lanes_) {
      if (one.lane == lane) {
        one.name = number;
        return;
      }
    }
    lanes_.push_back({lane, number});
  }

  [[nodiscard]] static std::int64_t now() noexcept { return Clock::now(); }
  [[nodiscard]] bool enabled() const noexcept { return capacity_ != 0; }
  [[nodiscard]] std::size_t size() const noexcept { return events_.size(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// Events that found the buffer full since the last `clear`.
  [[nodiscard]] std::int64_t dropped() const noexcept { return dropped_; }
  [[nodiscard]] std::vector<rlhf::detail::late<TraceEvent, Late>> const& events() const noexcept {
    return events_;
  }
  /// A name of an event; valid until a new one comes.
  [[nodiscard]] std::string_view name(std::int32_t number) const noexcept { return names_[number]; }
  [[nodiscard]] int names() const noexcept { return names_.size(); }
  /// Calls `visit(lane, name)` for the lanes that have names.
  template <class Visit>
  void visit_lanes(Visit&& visit) const {
    for (LaneName const& one : lanes_) {
      visit(one.lane, one.name);
    }
  }

  /// Forgets the events; names stay known.
  void clear() noexcept {
    events_.clear();
    dropped_ = 0;
  }

 private:
  struct LaneName {
    std::int32_t lane;
    std::int32_t name;
  };

  [[nodiscard]] TraceEvent make(TraceKind kind, std::string_view name, std::string_view category,
                                std::int32_t lane) {
    TraceEvent event;
    if (enabled()) {
      event.name = names_.of(name);
      event.category = names_.of(category);
      event.lane = lane;
      event.kind = kind;
    }
    return event;
  }
  void record(TraceEvent const& event) noexcept {
    if (events_.size() < capacity_) {
      events_.push_back(event);  // within what was reserved
    } else if (enabled()) {
      ++dropped_;
    }
  }

  detail::NameTable<Late> names_;
  std::vector<rlhf::detail::late<TraceEvent, Late>> events_;
  std::vector<rlhf::detail::late<LaneName, Late>> lanes_;
  std::size_t capacity_;
  std::int64_t dropped_ = 0;
};

using Trace = BasicTrace<>;

}  // namespace rlhf::inline v0::runtime
