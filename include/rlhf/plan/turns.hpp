/// @file
/// In which order ranks deal with the buckets of a plan. Layer: plan.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/plan.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0::plan {

/// Buckets of a flow, if they were all full: what orders and predictions count in.
[[nodiscard]] constexpr std::int64_t full_buckets(std::int64_t bytes,
                                                  std::int64_t bucket_bytes) noexcept {
  return bytes == 0 ? 1 : (bytes + bucket_bytes - 1) / bucket_bytes;
}

/// The turns of every flow's buckets. In one turn no rank sends to or receives from two others, so
/// ranks that deal with buckets in order of turns seldom wait.
///
/// A colouring of the graph of flows: each bucket takes the first turn in which all its ranks are
/// free, flows one after the other. The longest ones choose first; or, where that takes fewer
/// turns, those to the next rank, to the one after it, and so on, as in an exchange between all
/// ranks. Equal on every rank.
template <class T = void>
struct BasicTurns {
  rlhf::detail::late_vector<std::int64_t, T> first;  ///< Of every flow, into `turns`; one more.
  rlhf::detail::late_vector<std::int32_t, T> turns;

  /// The turn of a flow's bucket; buckets beyond the full ones share the last turn.
  [[nodiscard]] std::int32_t of(std::size_t flow, std::int64_t round) const {
    std::int64_t const at = first[flow] + round;
    return turns[static_cast<std::size_t>(at < first[flow + 1] ? at : first[flow + 1] - 1)];
  }
  /// How many buckets of the flow came before it in the last turn: those of one turn take theirs
  /// side by side.
  [[nodiscard]] std::int64_t beyond(std::size_t flow, std::int64_t round) const {
    std::int64_t const count = first[flow + 1] - first[flow];
    return round < count ? 0 : round - count + 1;
  }
};

namespace detail {

/// Sets of turns, a bit each.
template <class T>
class BusyTurns {
 public:
  [[nodiscard]] std::uint64_t word(std::size_t index) const {
    return index < words_.size() ? words_[index] : 0;
  }
  void add(std::int32_t turn) {
    auto const index = static_cast<std::size_t>(turn / 64);
    if (index >= words_.size()) {
      words_.resize(index + 1, 0);
    }
    words_[index] |= std::uint64_t{1} << (turn % 64);
  }

 private:
  rlhf::detail::late_vector<std::uint64_t, T> words_;
};

}  // namespace detail

namespace detail {

/// Gives the flows' buckets turns, flows in this order; returns how many turns there are.
template <class T>
std::int32_t color_flows(BasicPlan<T> const& plan, std::vector<Flow> const& flows,
                         rlhf::detail::late_vector<std::size_t, T> const& order,
                         BasicTurns<T>& out) {
  rlhf::detail::late_vector<BusyTurns<T>, T> sending(static_cast<std::size_t>(plan.world));
  rlhf::detail::late_vector<BusyTurns<T>, T> receiving(sending.size());
  rlhf::detail::late_vector<BusyTurns<T>*, T> busy;
  std::int32_t most = 0;
  for (std::size_t const f : order) {
    auto const& path = plan.paths[static_cast<std::size_t>(flows[f].path)];
    busy.assign(1, &sending[static_cast<std::size_t>(flows[f].source)]);
    for (int const rank : path.receivers) {
      busy.push_back(&receiving[static_cast<std::size_t>(rank)]);
    }
    for (auto const& forward : path.forwards) {
      busy.push_back(&sending[static_cast<std::size_t>(forward.from)]);
      busy.push_back(&receiving[static_cast<std::size_t>(forward.to)]);
    }
    std::int32_t next = 0;  // the first turn to try
    for (std::int64_t at = out.first[f]; at < out.first[f + 1]; ++at) {
      for (;;) {
        std::uint64_t taken = 0;
        for (auto const* const one : busy) {
          taken |= one->word(static_cast<std::size_t>(next / 64));
        }
        std::uint64_t const free = ~taken >> (next % 64);
        if (free != 0) {
          next += __builtin_ctzll(free);
          break;
        }
        next += 64 - next % 64;
      }
      for (auto* const one : busy) {
        one->add(next);
      }
      out.turns[static_cast<std::size_t>(at)] = next++;
    }
    most = most < next ? next : most;
  }
  return most;
}

}  // namespace detail

/// Turns for flows as `flows_of` gives them, in buckets of `bucket_bytes`. Cost: buckets times the
/// ranks of their paths, twice for a few thousand flows.
template <class T>
[[nodiscard]] BasicTurns<T> turns_of(BasicPlan<T> const& plan, std::vector<Flow> const& flows,
                                     std::int64_t bucket_bytes) {
  constexpr std::size_t few = 4096;
  BasicTurns<T> out;
  rlhf::detail::late_vector<std::size_t, T> order(flows.size());
  out.first.assign(1, 0);
  for (std::size_t f = 0; f < flows.size(); ++f) {
    order[f] = f;
    out.first.push_back(out.first.back() + full_buckets(flows[f].bytes, bucket_bytes));
  }
  out.turns.resize(static_cast<std::size_t>(out.first.back()));
  auto const length = [&](std::size_t f) { return out.first[f + 1] - out.first[f]; };
  rlhf::detail::sort_by(order, [&](std::size_t a, std::size_t b) { return length(a) > length(b); });
  std::int32_t const longest_first = detail::color_flows(plan, flows, order, out);
  if (flows.empty() || flows.size() > few) {
    return out;
  }
  // Flows of one shift have no rank in common, so that they can take the same turns.
  std::int64_t const longest = length(order.front());
  rlhf::detail::late_vector<int, T> shifts;
  for (Flow const& flow : flows) {
    auto const& receivers = plan.paths[static_cast<std::size_t>(flow.path)].receivers;
    int const to = receivers.empty() ? flow.source : receivers.front();
    shifts.push_back((to - flow.source + plan.world) % plan.world);
  }
  rlhf::detail::sort_by(order, [&](std::size_t a, std::size_t b) {
    auto const class_a = std::bit_width(static_cast<std::uint64_t>(longest / length(a)));
    auto const class_b = std::bit_width(static_cast<std::uint64_t>(longest / length(b)));
    return class_a != class_b       ? class_a < class_b
           : shifts[a] != shifts[b] ? shifts[a] < shifts[b]
                                    : length(a) > length(b);
  });
  BasicTurns<T> by_shift = out;
  return detail::color_flows(plan, flows, order, by_shift) < longest_first ? by_shift : out;
}

/// The same for the plan's own buckets.
template <class T>
[[nodiscard]] BasicTurns<T> turns_of(BasicPlan<T> const& plan, std::vector<Flow> const& flows) {
  return turns_of(plan, flows, plan.bucket_bytes);
}

}  // namespace rlhf::inline v0::plan
