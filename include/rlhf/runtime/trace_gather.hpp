/// @file
/// The traces of all ranks on one clock. Layer: runtime.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/runtime/clock.hpp>
#include <rlhf/runtime/detail/packed_bytes.hpp>
#include <rlhf/runtime/trace.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::runtime {

/// How a rank's clock lies to that of rank 0: `time - offset` is time of rank 0's clock.
struct ClockOffset {
  std::int64_t offset = 0;  ///< Nanoseconds.
  /// The true offset is at most this far away: half the shortest round trip of a message. 0 where
  /// both read the same clock.
  std::int64_t precision = 0;
};

/// One rank's trace, on the clock of rank 0.
template <class Late = void>
struct BasicRankTrace {
  int rank = 0;  ///< Of the world.
  ClockOffset clock;
  std::int64_t dropped = 0;
  std::vector<rlhf::detail::late<std::string, Late>> names;
  std::vector<rlhf::detail::late<TraceEvent, Late>> events;
  std::vector<rlhf::detail::late<std::int32_t, Late>> lanes;       ///< That have names,
  std::vector<rlhf::detail::late<std::int32_t, Late>> lane_names;  ///< and which.
};
using RankTrace = BasicRankTrace<>;

/// The offset of this rank's clock; collective.
///
/// Ranks of one machine, threads or processes, read the same clock: nothing is measured. Of every
/// other machine one rank answers messages of rank 0, which takes the shortest of `rounds` round
/// trips. Cost: an all-gather of 8 bytes a rank, and 2 messages a round and machine.
template <class Clock = SteadyClock, comm::Communicator C>
[[nodiscard]] ClockOffset align_clock(C& comm, int rounds = 16) {
  using Late = rlhf::detail::late<void, C>;
  auto const ranks = static_cast<std::size_t>(comm.size());
  std::vector<rlhf::detail::late<std::int64_t, Late>> clocks(ranks);
  auto const id = static_cast<std::int64_t>(Clock::id());
  comm.all_gather(&id, clocks.data(), 1, DType::i64, {});
  std::vector<rlhf::detail::late<std::int64_t, Late>> offsets(2 * ranks, 0);
  for (std::size_t r = 1; r < ranks; ++r) {
    bool first_of_its_clock = true;
    for (std::size_t before = 0; before < r; ++before) {
      if (clocks[before] == clocks[r]) {
        offsets[2 * r] = offsets[2 * before];
        offsets[2 * r + 1] = offsets[2 * before + 1];
        first_of_its_clock = false;
        break;
      }
    }
    if (!first_of_its_clock) {
      continue;
    }
    auto const peer = static_cast<int>(r);
    std::int64_t answer[2] = {0, (std::numeric_limits<std::int64_t>::max)()};
    for (int round = 0; round < rounds; ++round) {
      std::int64_t there = 0;
      if (comm.rank() == 0) {
        std::int64_t const sent = Clock::now();
        comm.send(&sent, 1, DType::i64, peer, {});
        comm.recv(&there, 1, DType::i64, peer, {});
        std::int64_t const trip = Clock::now() - sent;
        if (trip / 2 + 1 < answer[1]) {
          answer[0] = there - (sent + trip / 2);
          answer[1] = trip / 2 + 1;
        }
      } else if (comm.rank() == peer) {
        comm.recv(&there, 1, DType::i64, 0, {});
        there = Clock::now();
        comm.send(&there, 1, DType::i64, 0, {});
      }
    }
    comm.broadcast(answer, 2, DType::i64, 0, {});
    offsets[2 * r] = answer[0];
    offsets[2 * r + 1] = answer[1];
  }
  auto const own = 2 * static_cast<std::size_t>(comm.rank());
  return {offsets[own], offsets[own + 1]};
}

namespace detail {

template <class Late, class Clock>
void pack_trace(PackedBytes<Late>& out, BasicTrace<Clock> const& trace, ClockOffset clock) {
  std::vector<rlhf::detail::late<std::int32_t, Late>> lanes;
  std::vector<rlhf::detail::late<std::int32_t, Late>> lane_names;
  trace.visit_lanes([&](std::int32_t lane, std::int32_t name) {
    lanes.push_back(lane);
    lane_names.push_back(name);
  });
  std::int64_t const head[6] = {clock.offset,
                                clock.precision,
                                trace.dropped(),
                                trace.names(),
                                static_cast<std::int64_t>(trace.size()),
                                static_cast<std::int64_t>(lanes.size())};
  out.put(head, 6);
  for (int i = 0; i < trace.names(); ++i) {
    out.put_text(trace.name(i));
  }
  out.put(trace.events().data(), trace.size());
  out.put(lanes.data(), lanes.size());
  out.put(lane_names.data(), lane_names.size());
}

template <class Late>
[[nodiscard]] BasicRankTrace<Late> unpack_trace(PackedBytes<Late>& in, int rank) {
  std::int64_t head[6];
  in.get(head, 6);
  BasicRankTrace<Late> trace;
  trace.rank = rank;
  trace.clock = {head[0], head[1]};
  trace.dropped = head[2];
  trace.names.resize(static_cast<std::size_t>(head[3]));
  trace.events.resize(static_cast<std::size_t>(head[4]));
  trace.lanes.resize(static_cast<std::size_t>(head[5]));
  trace.lane_names.resize(static_cast<std::size_t>(head[5]));
  for (std::string& name : trace.names) {
    in.get_text(name);
  }
  in.get(trace.events.data(), trace.events.size());
  in.get(trace.lanes.data(), trace.lanes.size());
  in.get(trace.lane_names.data(), trace.lane_names.size());
  for (TraceEvent& event : trace.events) {
    event.begin -= trace.clock.offset;
    event.end -= trace.clock.offset;
  }
  return trace;
}

}  // namespace detail

/// The traces of all ranks of `comm` on rank 0, in rank order; nothing on the others. Collective.
///
/// Times are of rank 0's clock (`align_clock`), and at most the precision away from it, and what
/// the clocks drift between the event and now: gather from time to time where that matters.
/// The traces stay as they are; `clear` them to go on.
/// Cost: every rank's events cross once; rank 0 holds all of them.
template <class Clock, comm::Communicator C>
[[nodiscard]] std::vector<BasicRankTrace<rlhf::detail::late<void, C>>> gather(
    C& comm, BasicTrace<Clock> const& trace) {
  using Late = rlhf::detail::late<void, C>;
  detail::PackedBytes<Late> own;
  detail::pack_trace(own, trace, align_clock<Clock>(comm));
  std::vector<rlhf::detail::late<std::int64_t, Late>> sizes(static_cast<std::size_t>(comm.size()));
  auto const size = static_cast<std::int64_t>(own.bytes.size());
  comm.all_gather(&size, sizes.data(), 1, DType::i64, {});
  std::vector<BasicRankTrace<Late>> all;
  if (comm.rank() != 0) {
    comm.send(own.bytes.data(), size, DType::u8, 0, {});
    return all;
  }
  all.push_back(detail::unpack_trace(own, comm.world_rank(0)));
  for (int rank = 1; rank < comm.size(); ++rank) {
    detail::PackedBytes<Late> packed;
    packed.bytes.resize(static_cast<std::size_t>(sizes[static_cast<std::size_t>(rank)]));
    comm.recv(packed.bytes.data(), static_cast<std::int64_t>(packed.bytes.size()), DType::u8, rank,
              {});
    all.push_back(detail::unpack_trace(packed, comm.world_rank(rank)));
  }
  return all;
}

}  // namespace rlhf::inline v0::runtime
