#include "flow_matrix.hpp"

#include <rlhf/plan/flows.hpp>

#include <algorithm>
#include <set>

namespace planner {
namespace {

namespace plan = rlhf::plan;

/// Calls `visit(from, to, bytes)` for every hop. A broadcast counts for each of its receivers.
template <class Visit>
void for_each_hop(plan::Plan const& made, Visit&& visit) {
  for (plan::Flow const& flow : plan::flows_of(made)) {
    auto const& path = made.paths[static_cast<std::size_t>(flow.path)];
    for (int const to : path.receivers) {
      visit(flow.source, to, flow.bytes);
    }
    for (plan::Forward const& forward : path.forwards) {
      visit(forward.from, forward.to, flow.bytes);
    }
  }
}

MatrixAxis axis_of(std::set<int> const& ranks, plan::Topology const& topology, std::size_t most) {
  MatrixAxis out;
  out.ranks = ranks.size();
  // Groups of a power of two, so that they fit hosts of 4 or 8.
  std::size_t each = 1;
  while ((ranks.size() + each - 1) / each > most) {
    each *= 2;
  }
  std::set<int> domains;
  for (int const rank : ranks) {
    int const domain = topology.domain_of(rank);
    if (out.groups.empty() || out.groups.back().size() == each) {
      out.groups.emplace_back();
      out.domains.push_back(domain);
    }
    out.domains_fit = out.domains_fit && out.domains.back() == domain;
    out.groups.back().push_back(rank);
    domains.insert(domain);
  }
  out.domain_count = static_cast<int>(domains.size());
  return out;
}

std::vector<std::size_t> group_of(MatrixAxis const& axis, int world) {
  std::vector<std::size_t> out(static_cast<std::size_t>(world), 0);
  for (std::size_t g = 0; g < axis.groups.size(); ++g) {
    for (int const rank : axis.groups[g]) {
      out[static_cast<std::size_t>(rank)] = g;
    }
  }
  return out;
}

}  // namespace

FlowMatrix flow_matrix(plan::Plan const& made, plan::Topology const& topology,
                       std::size_t most_cells) {
  FlowMatrix out;
  auto const& sources = made.rank_sets[static_cast<std::size_t>(made.source_ranks)];
  auto const& destinations = made.rank_sets[static_cast<std::size_t>(made.destination_ranks)];
  std::set<int> senders(sources.begin(), sources.end());
  std::set<int> receivers(destinations.begin(), destinations.end());
  for_each_hop(made, [&](int from, int to, std::int64_t) {
    senders.insert(from);
    receivers.insert(to);
  });
  out.senders = axis_of(senders, topology, most_cells);
  out.receivers = axis_of(receivers, topology, most_cells);
  out.bytes.assign(out.senders.groups.size() * out.receivers.groups.size(), 0);
  auto const row_of = group_of(out.senders, made.world);
  auto const column_of = group_of(out.receivers, made.world);
  for_each_hop(made, [&](int from, int to, std::int64_t bytes) {
    auto& cell = out.bytes[row_of[static_cast<std::size_t>(from)] * out.receivers.groups.size() +
                           column_of[static_cast<std::size_t>(to)]];
    cell += bytes;
    out.most = std::max(out.most, cell);
  });
  return out;
}

}  // namespace planner
