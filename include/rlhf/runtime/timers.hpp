/// @file
/// Named timers that nest. Layer: runtime.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/runtime/clock.hpp>
#include <rlhf/runtime/detail/name_table.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::runtime {

/// What a timer has measured. Times are nanoseconds.
struct Timing {
  std::int64_t count = 0;  ///< Intervals that have ended.
  std::int64_t total = 0;  ///< Their sum, and `open`.
  std::int64_t least = 0;  ///< The shortest that has ended, 0 without one.
  std::int64_t most = 0;   ///< The longest that has ended.
  std::int64_t open = 0;   ///< How long the interval has been going on that has not ended.

  /// Of the intervals that have ended; 0 without one.
  [[nodiscard]] constexpr double mean() const noexcept {
    return count == 0 ? 0.0 : static_cast<double>(total - open) / static_cast<double>(count);
  }
  constexpr bool operator==(Timing const&) const noexcept = default;
};

/// A timer's path, `episode/train`, and what it has measured.
template <class Late = void>
struct BasicNamedTiming {
  std::string path;
  Timing timing;
};
using NamedTiming = BasicNamedTiming<>;

/// Accumulating timers, made when a name is first used.
///
///     rlhf::runtime::Timers timers;
///     auto episode = timers.scope("episode");
///     { auto train = timers.scope("train"); ... }   // counts for episode/train
///     timers.at("episode").total;                   // while it runs, too
///
/// A scope inside a scope is another timer than the same name elsewhere. Reading a timer that runs
/// neither stops nor counts it. A time between two `clear`s counts before the first or after it,
/// so that what is taken one time after the other adds up to the time that passed.
/// Host time only; for the time of a device see cuda/timer.hpp.
/// Cost: two readings of the clock and one hash of the name a scope; allocates for new names only.
/// Thread safety: one caller; a rank has its own.
template <class Clock = SteadyClock>
class BasicTimers {
  using Late = rlhf::detail::late<void, Clock>;

 public:
  /// Runs a timer until it goes away. Scopes end in the reverse order of their beginnings.
  class Scope {
   public:
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;
    Scope(Scope&&) = delete;
    Scope& operator=(Scope&&) = delete;
    ~Scope() { timers_->end(Clock::now()); }

   private:
    friend class BasicTimers;
    explicit Scope(BasicTimers& timers) noexcept : timers_(&timers) {}
    BasicTimers* timers_;
  };

  BasicTimers() = default;
  BasicTimers(BasicTimers const&) = delete;
  BasicTimers& operator=(BasicTimers const&) = delete;
  BasicTimers(BasicTimers&&) = delete;
  BasicTimers& operator=(BasicTimers&&) = delete;
  ~BasicTimers() = default;

  /// Starts the timer `name` of the innermost running scope; `a/b` is `b` of `a`, which counts for
  /// nothing itself.
  [[nodiscard]] Scope scope(std::string_view name) {
    begin(name, Clock::now());
    return Scope(*this);
  }
  /// `scope` and its end, for what reads the clock itself.
  void begin(std::string_view name, std::int64_t now) {
    int const timer = find_or_make(name);
    Node& node = nodes_[static_cast<std::size_t>(timer)];
    node.begin = now;
    node.outer = running_;
    running_ = timer;
  }
  void end(std::int64_t now) noexcept {
    Node& node = nodes_[static_cast<std::size_t>(running_)];
    count(node.timing, now - node.begin, node.carried + (now - node.begin));
    node.carried = 0;
    running_ = node.outer;
    node.outer = not_running;
  }

  /// Counts one interval that was measured elsewhere, as a scope of that name here would have.
  void add(std::string_view name, std::int64_t nanoseconds) {
    expects(nanoseconds >= 0, "a timer cannot add an interval shorter than nothing");
    count(nodes_[static_cast<std::size_t>(find_or_make(name))].timing, nanoseconds, nanoseconds);
  }

  /// What a timer has measured until now; of a path that is not there: nothing.
  [[nodiscard]] Timing at(std::string_view path) const {
    int timer = -1;
    bool const known = for_each_level(path, [&, this](std::string_view level) {
      timer = names_.find(level, timer);
      return timer >= 0;
    });
    return known ? read(nodes_[static_cast<std::size_t>(timer)], Clock::now()) : Timing{};
  }

  /// Calls `visit(path, timing)` for each timer that has measured something, those of a scope
  /// behind it. Allocates nothing.
  template <class Visit>
  void visit(Visit&& visit) const {
    std::int64_t const now = Clock::now();
    for (int timer = first_; timer >= 0; timer = next(timer)) {
      Node const& node = nodes_[static_cast<std::size_t>(timer)];
      Timing const timing = read(node, now);
      if (timing.count != 0 || timing.total != 0) {
        visit(std::string_view(node.path), timing);
      }
    }
  }

  /// Forgets what was measured. Timers that run go on from here.
  void clear() noexcept { clear_at(Clock::now()); }

  /// What was measured until now, then `clear`. `rows` keeps its memory, but for those
  /// of timers that measured nothing.
  void take(std::vector<BasicNamedTiming<Late>>& rows) {
    std::int64_t const now = Clock::now();
    std::size_t used = 0;
    for (int timer = first_; timer >= 0; timer = next(timer)) {
      Node const& node = nodes_[static_cast<std::size_t>(timer)];
      Timing const timing = read(node, now);
      if (timing.count != 0 || timing.total != 0) {
        if (used == rows.size()) {
          rows.emplace_back();
        }
        rows[used].path = node.path;
        rows[used].timing = timing;
        ++used;
      }
    }
    rows.resize(used);
    clear_at(now);
  }
  [[nodiscard]] std::vector<BasicNamedTiming<Late>> take() {
    std::vector<BasicNamedTiming<Late>> rows;
    take(rows);
    return rows;
  }

 private:
  static constexpr int not_running = -2;
  struct Node {
    std::string path;
    Timing timing{};
    std::int64_t begin = 0;
    std::int64_t carried = 0;  // of the running interval, before the last `clear`
    int outer = not_running;   // the timer that ran when this one started, -1 for none
    int parent = -1;
    int first_child = -1;
    int last_child = -1;
    int next_sibling = -1;
  };

  /// `own` goes to the sum; the length of the whole interval to least and most.
  static void count(Timing& timing, std::int64_t own, std::int64_t whole) noexcept {
    timing.total += own;
    timing.least = timing.count == 0 || whole < timing.least ? whole : timing.least;
    timing.most = timing.count == 0 || whole > timing.most ? whole : timing.most;
    ++timing.count;
  }
  [[nodiscard]] static Timing read(Node const& node, std::int64_t now) noexcept {
    Timing timing = node.timing;
    if (node.outer != not_running) {
      timing.open = now - node.begin;
      timing.total += timing.open;
    }
    return timing;
  }
  void clear_at(std::int64_t now) noexcept {
    for (Node& node : nodes_) {
      node.timing = {};
      if (node.outer != not_running) {
        node.carried += now - node.begin;
        node.begin = now;
      }
    }
  }

  /// Calls `visit(level)` for each part of a path until it returns false; whether all were visited.
  template <class Visit>
  static bool for_each_level(std::string_view path, Visit&& visit) {
    while (true) {
      std::size_t const slash = path.find('/');
      std::string_view const level = path.substr(0, slash);
      if (level.empty()) {
        fail(Errc::invalid_argument,
             "the name of a timer must not be empty, nor begin or end in "
             "'/', nor have two of them side by side");
      }
      if (!visit(level)) {
        return false;
      }
      if (slash == std::string_view::npos) {
        return true;
      }
      path.remove_prefix(slash + 1);
    }
  }
  [[nodiscard]] int find_or_make(std::string_view name) {
    int parent = running_;
    for_each_level(name, [&, this](std::string_view level) {
      int const timer = names_.of(level, parent);
      if (timer == static_cast<int>(nodes_.size())) {
        append(level, timer, parent);
      }
      parent = timer;
      return true;
    });
    return parent;
  }
  void append(std::string_view level, int timer, int parent) {
    Node node;
    node.parent = parent;
    if (parent >= 0) {
      node.path = text(nodes_[static_cast<std::size_t>(parent)].path, "/", level);
    } else {
      node.path = level;
    }
    nodes_.push_back(node);
    int& last = parent < 0 ? last_ : nodes_[static_cast<std::size_t>(parent)].last_child;
    int& first = parent < 0 ? first_ : nodes_[static_cast<std::size_t>(parent)].first_child;
    (last < 0 ? first : nodes_[static_cast<std::size_t>(last)].next_sibling) = timer;
    last = timer;
  }
  /// The timer behind this one, depth first.
  [[nodiscard]] int next(int timer) const noexcept {
    Node const* node = &nodes_[static_cast<std::size_t>(timer)];
    if (node->first_child >= 0) {
      return node->first_child;
    }
    while (node->next_sibling < 0 && node->parent >= 0) {
      node = &nodes_[static_cast<std::size_t>(node->parent)];
    }
    return node->next_sibling;
  }

  detail::NameTable<Late> names_;
  std::vector<rlhf::detail::late<Node, Late>> nodes_;
  int running_ = -1;
  int first_ = -1;
  int last_ = -1;
};

using Timers = BasicTimers<>;

}  // namespace rlhf::inline v0::runtime
