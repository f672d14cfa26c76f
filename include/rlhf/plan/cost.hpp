/// @file
/// What a plan will cost: time, balance, bytes over slow links. Layer: plan.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/topology.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {

/// What one rank does in a plan.
struct RankLoad {
  std::int64_t sent = 0;  ///< Bytes, passed on ones included.
  std::int64_t received = 0;
  std::int64_t sent_slow = 0;  ///< Of those, to another domain.
  std::int64_t received_slow = 0;
  std::int64_t calls = 0;  ///< Transfers of buckets.
};

/// A plan's costs by the model of its topology.
template <class T = void>
struct BasicPrediction {
  rlhf::detail::late_vector<RankLoad, T> ranks;  ///< By world rank.
  double seconds = 0;                            ///< Of the slowest rank.
  int slowest = 0;                               ///< That rank.
  double send_max_over_mean = 0;     ///< Over the source's ranks; 1 is perfect balance, 0 no bytes.
  double receive_max_over_mean = 0;  ///< Over the destination's ranks.
  double link_max_over_mean = 0;     ///< Over the pairs of ranks that exchange bytes.
  std::int64_t bytes_slow_link = 0;
};
using Prediction = BasicPrediction<>;

namespace detail {

template <class Values>
[[nodiscard]] double max_over_mean(Values const& values) {
  double most = 0;
  double sum = 0;
  for (auto const value : values) {
    auto const one = static_cast<double>(value);
    most = one > most ? one : most;
    sum += one;
  }
  return sum > 0 ? most * static_cast<double>(values.size()) / sum : 0;
}

}  // namespace detail

/// Predicts the time of a plan with these flows and buckets of `bucket_bytes`: over ranks, the most
/// of `calls x call_seconds + bytes / bandwidth`, sending and receiving at once, and the time of
/// one bucket for each hop, in which nothing overlaps yet. A broadcast costs its source its bytes
/// once, as a ring does.
template <class T>
[[nodiscard]] BasicPrediction<T> predict(BasicPlan<T> const& plan,
                                         rlhf::detail::late_vector<Flow, T> const& flows,
                                         std::int64_t bucket_bytes,
                                         BasicTopology<T> const& topology) {
  BasicPrediction<T> out;
  out.ranks.resize(static_cast<std::size_t>(plan.world));
  rlhf::detail::late_vector<std::int64_t, T> links;
  double fill = 0;
  auto const hop = [&](int from, int to, std::int64_t bytes, bool counts_for_sender) {
    auto& sender = out.ranks[static_cast<std::size_t>(from)];
    auto& receiver = out.ranks[static_cast<std::size_t>(to)];
    bool const slow = topology.domain_of(from) != topology.domain_of(to);
    std::int64_t const calls = (bytes + bucket_bytes - 1) / bucket_bytes;
    receiver.received += bytes;
    receiver.received_slow += slow ? bytes : 0;
    receiver.calls += calls;
    if (counts_for_sender) {
      sender.sent += bytes;
      sender.sent_slow += slow ? bytes : 0;
      sender.calls += calls;
    }
    out.bytes_slow_link += slow ? bytes : 0;
    links.push_back(bytes);
    return static_cast<double>(bytes < bucket_bytes ? bytes : bucket_bytes) /
           (slow ? topology.slow_bytes_per_second : topology.fast_bytes_per_second);
  };
  for (auto const& flow : flows) {
    auto const& path = plan.paths[static_cast<std::size_t>(flow.path)];
    bool first = true;
    double one_hop = 0;
    double two_hops = 0;
    for (int const receiver : path.receivers) {
      double const filling =
          hop(flow.source, receiver, flow.bytes, first || path.method == Method::send);
      one_hop = filling > one_hop ? filling : one_hop;
      first = false;
    }
    for (auto const& forward : path.forwards) {
      double const filling = hop(forward.from, forward.to, flow.bytes, true);
      two_hops = filling > two_hops ? filling : two_hops;
    }
    fill = one_hop + two_hops > fill ? one_hop + two_hops : fill;
  }
  auto const seconds_of = [&](std::int64_t bytes, std::int64_t slow) {
    return static_cast<double>(bytes - slow) / topology.fast_bytes_per_second +
           static_cast<double>(slow) / topology.slow_bytes_per_second;
  };
  for (std::size_t r = 0; r < out.ranks.size(); ++r) {
    auto const& load = out.ranks[r];
    double const sending = seconds_of(load.sent, load.sent_slow);
    double const receiving = seconds_of(load.received, load.received_slow);
    double const seconds = (sending > receiving ? sending : receiving) +
                           static_cast<double>(load.calls) * topology.call_seconds;
    if (seconds > out.seconds) {
      out.seconds = seconds;
      out.slowest = static_cast<int>(r);
    }
  }
  out.seconds += fill;
  auto const side = [&](std::int32_t set, auto member) {
    rlhf::detail::late_vector<std::int64_t, T> bytes;
    for (int const rank : plan.rank_sets[static_cast<std::size_t>(set)]) {
      bytes.push_back(out.ranks[static_cast<std::size_t>(rank)].*member);
    }
    return detail::max_over_mean(bytes);
  };
  out.send_max_over_mean = side(plan.source_ranks, &RankLoad::sent);
  out.receive_max_over_mean = side(plan.destination_ranks, &RankLoad::received);
  out.link_max_over_mean = detail::max_over_mean(links);
  return out;
}

/// The same for the plan as it is.
template <class T>
[[nodiscard]] BasicPrediction<T> predict(BasicPlan<T> const& plan,
                                         BasicTopology<T> const& topology = {}) {
  return predict(plan, flows_of(plan), plan.bucket_bytes, topology);
}

namespace detail {

/// A box of some parameters of a kind, in a domain.
struct DomainBox {
  int domain = 0;
  Box box{};
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

/// Leaves one of equal boxes.
template <class T>
void make_distinct(rlhf::detail::late_vector<DomainBox, T>& all) {
  rlhf::detail::sort_by(all, [](auto const& a, auto const& b) {
    return a.domain != b.domain ? a.domain < b.domain
           : a.begin != b.begin ? a.begin < b.begin
                                : before(a.box, b.box);
  });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (kept == 0 || all[kept - 1].domain != all[i].domain || all[kept - 1].begin != all[i].begin ||
        all[kept - 1].box != all[i].box) {
      all[kept++] = all[i];
    }
  }
  all.resize(kept);
}

/// What of `needed[at]` neither an earlier needed box nor a held one of its domain has.
template <class T>
[[nodiscard]] rlhf::detail::late_vector<Box, T> first_needed(
    rlhf::detail::late_vector<DomainBox, T> const& needed, std::size_t at,
    rlhf::detail::late_vector<DomainBox, T> const& held) {
  auto const& wanted = needed[at];
  rlhf::detail::late_vector<Box, T> rest{wanted.box};
  rlhf::detail::late_vector<Box, T> next;
  auto const without = [&](auto const& other) {
    if (other.domain == wanted.domain && other.begin < wanted.end && wanted.begin < other.end) {
      next.clear();
      for (Box const& box : rest) {
        subtract(box, other.box, next);
      }
      rest.swap(next);
    }
  };
  for (std::size_t j = 0; j < at && !rest.empty(); ++j) {
    without(needed[j]);
  }
  for (std::size_t j = 0; j < held.size() && !rest.empty(); ++j) {
    without(held[j]);
  }
  return rest;
}

}  // namespace detail

/// The fewest bytes that must cross between domains: of every domain, the distinct bytes that its
/// destination ranks need and none of its source ranks has. 0 for a flat topology.
///
/// Cost: for every kind, the boxes needed in each domain, squared within a domain.
template <class T>
[[nodiscard]] std::int64_t slow_link_minimum(BasicPlan<T> const& plan,
                                             BasicTopology<T> const& topology) {
  if (topology.is_flat()) {
    return 0;
  }
  // What comes from another domain, whatever the way: the union of the boxes that the plan moves to
  // destinations of a domain, less what sources of that domain hold. A plan may move such a box
  // from afar although a source is close, so the sources are asked, not the plan's choice.
  rlhf::detail::late_vector<std::vector<Move const*>, T> by_kind(plan.kinds.size());
  for (auto const& move : plan.moves) {
    by_kind[static_cast<std::size_t>(move.kind)].push_back(&move);
  }
  std::int64_t bytes = 0;
  for (std::size_t k = 0; k < by_kind.size(); ++k) {
    rlhf::detail::late_vector<detail::DomainBox, T> needed;
    rlhf::detail::late_vector<detail::DomainBox, T> held;
    for (auto const* const move : by_kind[k]) {
      for (int const source : plan.rank_sets[static_cast<std::size_t>(move->sources)]) {
        held.push_back({topology.domain_of(source), move->box, move->begin, move->end});
      }
      for (std::int32_t const p : move->paths) {
        for (int const rank : plan.paths[static_cast<std::size_t>(p)].destinations) {
          needed.push_back({topology.domain_of(rank), move->box, move->begin, move->end});
        }
      }
    }
    detail::make_distinct<T>(needed);
    detail::make_distinct<T>(held);
    for (std::size_t i = 0; i < needed.size(); ++i) {
      for (auto const& box : detail::first_needed<T>(needed, i, held)) {
        bytes += wire_bytes(plan.kinds[k], box) * (needed[i].end - needed[i].begin);
      }
    }
  }
  return bytes;
}

}  // namespace rlhf::inline v0::plan
