/// @file
/// Builds the plan of a sync from what both sides hold. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/description.hpp>
#include <rlhf/plan/detail/needs.hpp>
#include <rlhf/plan/detail/table.hpp>
#include <rlhf/plan/detail/waves.hpp>
#include <rlhf/plan/options.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/relay.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {
namespace detail {

/// Collects pieces by the path they take.
template <class = void>
class FlowTable {
 public:
  void add(Flow flow, Piece const& piece, std::int64_t bytes) {
    Fingerprint print;
    print.add(static_cast<std::uint64_t>(flow.source));
    detail::add(print, flow.receivers);
    detail::add(print, flow.destinations);
    for (Forward const& forward : flow.forwards) {
      print.add(static_cast<std::uint64_t>(forward.from));
      print.add(static_cast<std::uint64_t>(forward.to));
    }
    std::uint64_t const key = print.value();
    std::size_t const at =
        rlhf::detail::first_not(index_, [&](auto const& entry) { return entry.first < key; });
    if (at == index_.size() || index_[at].first != key) {
      index_.insert(index_.begin() + static_cast<std::ptrdiff_t>(at), {key, flows.size()});
      flows.push_back(std::move(flow));
      pieces.emplace_back();
    }
    std::size_t const flow_at = index_[at].second;
    flows[flow_at].bytes += bytes;
    pieces[flow_at].push_back(piece);
  }

  std::vector<Flow> flows;
  std::vector<std::vector<Piece>> pieces;

 private:
  std::vector<std::pair<std::uint64_t, std::size_t>> index_;
};

/// The path of a piece in the two-stage route: to one relay for each group of destination ranks,
/// which passes it to the other members that need it.
template <class = void>
[[nodiscard]] Flow two_stage_flow(Description const& source, Description const& destination,
                                  int from, std::vector<int> const& to, RelayChoice<>& relays) {
  Flow flow;
  flow.source = source.ranks[static_cast<std::size_t>(from)].world_rank;
  int const stage = source.layout.coordinate(from).pipeline;
  auto const world = [&](int rank) {
    return destination.ranks[static_cast<std::size_t>(rank)].world_rank;
  };
  for (std::size_t i = 0; i < to.size();) {  // destinations ascend, so groups are runs
    int const group = relays.group_of(to[i]);
    bool source_is_member = false;
    for (int m = 0; m < relays.ratio(); ++m) {
      source_is_member = source_is_member || world(relays.member(group, m)) == flow.source;
    }
    int const relay = world(relays.relay(group, stage));
    if (!source_is_member) {
      flow.receivers.push_back(relay);
    }
    for (; i < to.size() && relays.group_of(to[i]) == group; ++i) {
      int const rank = world(to[i]);
      flow.destinations.push_back(rank);
      if (source_is_member) {
        flow.receivers.push_back(rank);  // the source sits inside the group: straight
      } else if (rank != relay) {
        flow.forwards.push_back(Forward{relay, rank});
      }
    }
  }
  flow.method = flow.receivers.size() > 1 ? Method::broadcast : Method::send;
  return flow;
}

}  // namespace detail

/// The plan that gives every destination rank what it holds, from ranks that have it.
///
/// Bytes that a rank has on both sides are copied, not sent; of the rest each byte is sent to a
/// destination rank once (twice over links in the two-stage route, where a relay passes it on).
/// Every rank that builds from equal arguments gets an equal plan.
/// Errors: incompatible_policy naming the parameter and rank where a name, shape, type or box has
/// no source, or the route cannot serve the layouts. Cost: overlaps of boxes, n log n in them.
template <class = void>
[[nodiscard]] Plan build(Description const& source, Description const& destination,
                         Options const& options) {
  expects(options.bucket_bytes >= 256, "a bucket needs at least 256 bytes");
  expects(options.slots >= 1, "a wave needs at least one slot a rank");
  expects(static_cast<int>(source.ranks.size()) == source.layout.ranks() &&
              static_cast<int>(destination.ranks.size()) == destination.layout.ranks(),
          "a description needs one entry for each rank of its layout");
  bool const two_stage = options.route == Route::two_stage;
  if (two_stage) {
    PairFault const fault = two_stage_fault(source.layout, destination.layout);
    if (fault != PairFault::none) {
      fail(Errc::incompatible_policy, describe(fault, source.layout, destination.layout));
    }
  }

  Plan plan;
  plan.bucket_bytes = options.bucket_bytes;
  plan.slots = options.slots;
  detail::ParameterTable const table(destination);
  plan.parameters = table.parameters;
  auto const boxes = detail::source_boxes(source, table, plan.unused);
  std::vector<detail::Need> needs = detail::needs_of(source, destination, table, boxes, plan);
  if (options.choice == SourceChoice::paired) {
    detail::choose_paired(source.layout, destination.layout, needs);
  } else {
    detail::choose_balanced(plan, source.layout.ranks(), needs);
  }

  // Needs of the same bytes from the same source stand together, destinations ascending.
  rlhf::detail::sort_by(needs, [](detail::Need const& a, detail::Need const& b) {
    if (a.source != b.source) {
      return a.source < b.source;
    }
    if (a.piece.parameter != b.piece.parameter) {
      return a.piece.parameter < b.piece.parameter;
    }
    if (a.piece.box != b.piece.box) {
      return detail::before(a.piece.box, b.piece.box);
    }
    return a.destination < b.destination;
  });
  std::optional<RelayChoice<>> relays;
  if (two_stage) {
    relays.emplace(source.layout, destination.layout);
  }
  detail::FlowTable table_of_flows;
  for (std::size_t i = 0; i < needs.size();) {
    std::size_t end = i;
    std::vector<int> to;
    while (end < needs.size() && needs[end].source == needs[i].source &&
           needs[end].piece == needs[i].piece) {
      to.push_back(needs[end++].destination);
    }
    Piece const& piece = needs[i].piece;
    std::int64_t const bytes = bytes_of(plan, piece);
    plan.bytes_moved += bytes * static_cast<std::int64_t>(to.size());
    int const from = source.ranks[static_cast<std::size_t>(needs[i].source)].world_rank;
    std::vector<int> ranks;
    ranks.reserve(to.size());
    for (int const rank : to) {
      ranks.push_back(destination.ranks[static_cast<std::size_t>(rank)].world_rank);
    }
    if (two_stage) {
      table_of_flows.add(detail::two_stage_flow(source, destination, needs[i].source, to, *relays),
                         piece, bytes);
    } else if (options.route == Route::broadcast && ranks.size() > 1) {
      table_of_flows.add(Flow{from, Method::broadcast, ranks, {}, ranks, 0}, piece, bytes);
    } else {
      for (int const rank : ranks) {
        table_of_flows.add(Flow{from, Method::send, {rank}, {}, {rank}, 0}, piece, bytes);
      }
    }
    i = end;
  }
  plan.flows = std::move(table_of_flows.flows);
  for (LocalCopy const& copy : plan.local_copies) {
    plan.bytes_local += bytes_of(plan, copy.piece);
  }
  std::vector<std::vector<Bucket>> by_flow;
  for (std::size_t f = 0; f < plan.flows.size(); ++f) {
    Flow const& flow = plan.flows[f];
    plan.bytes_on_links +=
        flow.bytes * static_cast<std::int64_t>(flow.receivers.size() + flow.forwards.size());
    by_flow.push_back(
        detail::buckets_of(plan, static_cast<std::int32_t>(f), table_of_flows.pieces[f]));
  }
  plan.buckets = detail::order_in_waves(plan, std::move(by_flow));
  return plan;
}

}  // namespace rlhf::inline v0::plan
