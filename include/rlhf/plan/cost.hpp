/// @file
/// What a plan will cost: time, balance, bytes over slow links. Layer: plan.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/simulate.hpp>
#include <rlhf/plan/topology.hpp>

#include <cstddef>
#include <cstdint>
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
  double seconds = 0;                            ///< Until the last byte has arrived,
  int slowest = 0;                               ///< at this rank.
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

/// Bytes from one rank to another.
struct Link {
  int from = 0;
  int to = 0;
  std::int64_t bytes = 0;
};

/// The bytes of every pair of ranks, whatever number of flows they belong to.
template <class T>
[[nodiscard]] rlhf::detail::late_vector<std::int64_t, T> bytes_of_links(
    rlhf::detail::late_vector<Link, T>& links) {
  rlhf::detail::sort_by(links, [](Link const& a, Link const& b) {
    return a.from != b.from ? a.from < b.from : a.to < b.to;
  });
  rlhf::detail::late_vector<std::int64_t, T> bytes;
  for (std::size_t i = 0; i < links.size(); ++i) {
    if (i == 0 || links[i].from != links[i - 1].from || links[i].to != links[i - 1].to) {
      bytes.push_back(0);
    }
    bytes.back() += links[i].bytes;
  }
  return bytes;
}

}  // namespace detail

/// Predicts a plan with these flows and buckets of `bucket_bytes`: what each rank sends and
/// receives, and the time of its transfers in their order (see `simulate`), in which a transfer
/// costs `call_seconds + bytes / bandwidth` and passing on waits for what it passes on. Of plans of
/// more buckets than `most_steps`, several buckets are one step.
template <class T>
[[nodiscard]] BasicPrediction<T> predict(BasicPlan<T> const& plan,
                                         rlhf::detail::late_vector<Flow, T> const& flows,
                                         std::int64_t bucket_bytes,
                                         BasicTopology<T> const& topology,
                                         std::int64_t most_steps = std::int64_t{1} << 17) {
  BasicPrediction<T> out;
  out.ranks.resize(static_cast<std::size_t>(plan.world));
  rlhf::detail::late_vector<detail::Link, T> links;
  out.seconds =
      simulate(plan, flows, bucket_bytes, topology, most_steps,
               [&](SimulatedTransfer const& one, rlhf::detail::late_vector<int, T> const& to) {
                 auto& sender = out.ranks[static_cast<std::size_t>(one.from)];
                 sender.sent += one.bytes;
                 sender.sent_slow += one.slow ? one.bytes : 0;
                 sender.calls += one.buckets;
                 for (int const rank : to) {
                   bool const slow = topology.domain_of(rank) != topology.domain_of(one.from);
                   auto& receiver = out.ranks[static_cast<std::size_t>(rank)];
                   receiver.received += one.bytes;
                   receiver.received_slow += slow ? one.bytes : 0;
                   receiver.calls += one.buckets;
                   out.bytes_slow_link += slow ? one.bytes : 0;
                   if (one.end > out.seconds) {  // not yet the result: the latest end so far
                     out.seconds = one.end;
                     out.slowest = rank;
                   }
                 }
               });
  for (Flow const& flow : flows) {
    auto const& path = plan.paths[static_cast<std::size_t>(flow.path)];
    for (int const receiver : path.receivers) {
      links.push_back({flow.source, receiver, flow.bytes});
    }
    for (auto const& forward : path.forwards) {
      links.push_back({forward.from, forward.to, flow.bytes});
    }
  }
  auto const side = [&](std::int32_t set, auto member) {
    rlhf::detail::late_vector<std::int64_t, T> bytes;
    for (int const rank : plan.rank_sets[static_cast<std::size_t>(set)]) {
      bytes.push_back(out.ranks[static_cast<std::size_t>(rank)].*member);
    }
    return detail::max_over_mean(bytes);
  };
  out.send_max_over_mean = side(plan.source_ranks, &RankLoad::sent);
  out.receive_max_over_mean = side(plan.destination_ranks, &RankLoad::received);
  out.link_max_over_mean = detail::max_over_mean(detail::bytes_of_links<T>(links));
  return out;
}

/// The same for the plan as it is.
template <class T>
[[nodiscard]] BasicPrediction<T> predict(BasicPlan<T> const& plan,
                                         BasicTopology<T> const& topology = {}) {
  return predict(plan, flows_of(plan), plan.bucket_bytes, topology);
}

}  // namespace rlhf::inline v0::plan
