/// @file
/// Runs a plan's transfers against clocks of every rank. Layer: plan.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/topology.hpp>
#include <rlhf/plan/turns.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0::plan {

/// One transfer of a simulation: of one bucket, or of several of a flow in a row.
struct SimulatedTransfer {
  int from = 0;
  double begin = 0;  ///< Seconds.
  double end = 0;
  bool slow = false;  ///< To another domain.
  std::int64_t buckets = 1;
  std::int64_t bytes = 0;
};

namespace detail {

/// Buckets that a simulation takes at once, so that it has at most so many steps: a power of two.
template <class Flows>
[[nodiscard]] std::int64_t buckets_of_step(Flows const& flows, std::int64_t bucket_bytes,
                                           std::int64_t most_steps) {
  std::int64_t longest = 1;
  for (Flow const& flow : flows) {
    std::int64_t const buckets = full_buckets(flow.bytes, bucket_bytes);
    longest = buckets > longest ? buckets : longest;
  }
  std::int64_t each = 1;
  for (bool many = true; many;) {
    std::int64_t steps = 0;
    for (Flow const& flow : flows) {
      steps += (full_buckets(flow.bytes, bucket_bytes) + each - 1) / each;
    }
    many = steps > most_steps && each < longest;
    each *= many ? 2 : 1;
  }
  return each;
}

}  // namespace detail

/// Lets every bucket start, in the plan's order, when its sender and its receivers are free and,
/// where it is passed on, when it has arrived. A rank sends and receives at once, one transfer each
/// way; a broadcast costs its source the bytes once, as a ring does.
///
/// Of plans with more than `most_steps` buckets several buckets of a flow are one step, in which
/// passing on begins when the first of them is there. Calls `visit(transfer, receivers)` for each
/// transfer; returns the seconds until the last. Cost: steps times the ranks of their paths, n log
/// n steps.
template <class T, class Visit>
double simulate(BasicPlan<T> const& plan, rlhf::detail::late_vector<Flow, T> const& flows,
                std::int64_t bucket_bytes, BasicTopology<T> const& topology,
                std::int64_t most_steps, Visit&& visit) {
  std::int64_t const step_bytes =
      detail::buckets_of_step(flows, bucket_bytes, most_steps) * bucket_bytes;

  struct Step {
    std::int32_t turn = 0;
    std::int32_t flow = 0;
    std::int64_t bytes = 0;
  };
  auto const turns = turns_of(plan, flows, step_bytes);
  rlhf::detail::late_vector<Step, T> steps;
  for (std::size_t f = 0; f < flows.size(); ++f) {
    std::int64_t left = flows[f].bytes;
    for (std::int64_t round = 0; left > 0; ++round) {
      std::int64_t const bytes = left < step_bytes ? left : step_bytes;
      steps.push_back(Step{turns.of(f, round), static_cast<std::int32_t>(f), bytes});
      left -= bytes;
    }
  }
  rlhf::detail::sort_by(steps, [](Step const& a, Step const& b) {
    return a.turn != b.turn ? a.turn < b.turn : a.flow < b.flow;
  });

  rlhf::detail::late_vector<double, T> sending(static_cast<std::size_t>(plan.world), 0);
  rlhf::detail::late_vector<double, T> receiving(sending.size(), 0);
  struct Arrival {
    int rank = 0;
    double first = 0;  // when its first bucket is there,
    double all = 0;    // and its last
  };
  double last = 0;
  // One transfer, not before the first and not to end before one bucket more than the last.
  auto const transfer = [&](int from, rlhf::detail::late_vector<int, T> const& to,
                            std::int64_t bytes, Arrival const& ready) {
    double begin = ready.first;
    double& sender = sending[static_cast<std::size_t>(from)];
    begin = sender > begin ? sender : begin;
    bool slow = false;
    for (int const rank : to) {
      double const free = receiving[static_cast<std::size_t>(rank)];
      begin = free > begin ? free : begin;
      slow = slow || topology.domain_of(rank) != topology.domain_of(from);
    }
    double const speed = slow ? topology.slow_bytes_per_second : topology.fast_bytes_per_second;
    std::int64_t const buckets = full_buckets(bytes, bucket_bytes);
    double const seconds =
        static_cast<double>(buckets) * topology.call_seconds + static_cast<double>(bytes) / speed;
    double const one = seconds / static_cast<double>(buckets);
    double end = begin + seconds;
    end = ready.all + one > end ? ready.all + one : end;
    sender = begin + seconds;
    for (int const rank : to) {
      receiving[static_cast<std::size_t>(rank)] = begin + seconds;
    }
    last = end > last ? end : last;
    visit(SimulatedTransfer{from, begin, end, slow, buckets, bytes}, to);
    return Arrival{from, begin + one, end};
  };
  rlhf::detail::late_vector<Arrival, T> arrived;
  rlhf::detail::late_vector<int, T> alone(1, 0);
  for (Step const& step : steps) {
    Flow const& flow = flows[static_cast<std::size_t>(step.flow)];
    auto const& path = plan.paths[static_cast<std::size_t>(flow.path)];
    arrived.clear();
    if (path.method == Method::broadcast) {
      Arrival const all = transfer(flow.source, path.receivers, step.bytes, Arrival{});
      for (int const rank : path.receivers) {
        arrived.push_back(Arrival{rank, all.first, all.all});
      }
    } else {
      for (int const rank : path.receivers) {
        alone.front() = rank;
        Arrival const one = transfer(flow.source, alone, step.bytes, Arrival{});
        arrived.push_back(Arrival{rank, one.first, one.all});
      }
    }
    for (auto const& forward : path.forwards) {
      Arrival ready;
      for (Arrival const& one : arrived) {
        ready = one.rank == forward.from ? one : ready;
      }
      alone.front() = forward.to;
      Arrival const one = transfer(forward.from, alone, step.bytes, ready);
      arrived.push_back(Arrival{forward.to, one.first, one.all});
    }
  }
  return last;
}

}  // namespace rlhf::inline v0::plan
