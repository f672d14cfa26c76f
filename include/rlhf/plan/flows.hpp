/// @file
/// Who sends how much to whom in a plan. Layer: plan.
#pragma once

#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rlhf::inline v0::plan {

/// All that one source rank sends by one path.
struct Flow {
  int source = 0;  ///< World rank.
  std::int32_t path = 0;
  std::int64_t bytes = 0;

  constexpr bool operator==(Flow const&) const noexcept = default;
};

/// Calls `visit(source world rank, path, units)` for every source and path of a move that share
/// units.
template <class T, class Visit>
void for_each_share(BasicPlan<T> const& plan, Move const& move, Visit&& visit) {
  auto const& sources = plan.rank_sets[static_cast<std::size_t>(move.sources)];
  std::int64_t const each = move.parameters();
  for (std::size_t s = 0; s < sources.size(); ++s) {
    for (std::int64_t unit = move.first[s]; unit < move.first[s + 1];) {
      std::int64_t const path = unit / each;
      std::int64_t const end =
          (path + 1) * each < move.first[s + 1] ? (path + 1) * each : move.first[s + 1];
      visit(sources[s], move.paths[static_cast<std::size_t>(path)], end - unit);
      unit = end;
    }
  }
}

/// The flows of a plan, by source and path. Cost: the shares of all moves.
template <class T>
[[nodiscard]] rlhf::detail::late_vector<Flow, T> flows_of(BasicPlan<T> const& plan) {
  rlhf::detail::late_vector<Flow, T> flows;
  rlhf::detail::HashIndex<T> index;
  for (Move const& move : plan.moves) {
    std::int64_t const bytes =
        wire_bytes(plan.kinds[static_cast<std::size_t>(move.kind)], move.box);
    for_each_share(plan, move, [&](int source, std::int32_t path, std::int64_t units) {
      std::uint64_t const hash =
          mix64((static_cast<std::uint64_t>(source) << 32) + static_cast<std::uint64_t>(path) + 1);
      int at = index.find(hash, [&](int number) {
        Flow const& flow = flows[static_cast<std::size_t>(number)];
        return flow.source == source && flow.path == path;
      });
      if (at < 0) {
        at = static_cast<int>(flows.size());
        index.add(hash, at);
        flows.push_back(Flow{source, path, 0});
      }
      flows[static_cast<std::size_t>(at)].bytes += bytes * units;
    });
  }
  rlhf::detail::sort_by(flows, [](Flow const& a, Flow const& b) {
    return a.source != b.source ? a.source < b.source : a.path < b.path;
  });
  return flows;
}

/// The plan in a few lines a person can read: totals, then a line for each flow.
template <class T>
[[nodiscard]] std::string to_string(BasicPlan<T> const& plan) {
  auto const flows = flows_of(plan);
  std::string out =
      text("plan: ", plan.parameters.size(), " parameters of ", plan.kinds.size(), " kinds, ",
           plan.bytes_needed, " bytes needed, ", plan.bytes_local, " already there, ",
           plan.bytes_moved, " moved, ", plan.bytes_on_links, " on links; ", plan.moves.size(),
           " moves, ", flows.size(), " flows in buckets of up to ", plan.bucket_bytes, " bytes\n");
  for (auto const& flow : flows) {
    auto const& path = plan.paths[static_cast<std::size_t>(flow.path)];
    out += text("  ", flow.source, path.method == Method::broadcast ? " => " : " -> ",
                list_text({path.receivers.data(), path.receivers.size()}));
    for (auto const& forward : path.forwards) {
      out += text(", then ", forward.from, " -> ", forward.to);
    }
    out += text(": ", flow.bytes, " bytes\n");
  }
  return out;
}

}  // namespace rlhf::inline v0::plan
