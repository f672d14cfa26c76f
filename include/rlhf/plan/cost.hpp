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

}  // namespace rlhf::inline v0::plan
