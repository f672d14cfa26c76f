/// @file
/// What each destination rank lacks, and which source rank sends it. Layer: plan, private.
#pragma once

#include <rlhf/core/sort.hpp>
#include <rlhf/plan/detail/table.hpp>
#include <rlhf/plan/options.hpp>

#include <cstdint>
#include <vector>

namespace rlhf::inline v0::plan::detail {

/// A box that one destination rank needs from one of several source ranks.
struct Need {
  Piece piece;
  int destination = 0;  ///< Module rank.
  int source = -1;      ///< Module rank, once chosen.
  SourceBox const* from = nullptr;
};

/// Cuts what a destination rank holds along the boxes of the source. What the rank itself has on
/// the source side becomes a local copy; the rest becomes needs.
template <class = void>
void overlap(Box const& wanted, int parameter, int destination, int world_rank, int own_source_rank,
             std::vector<SourceBox> const& boxes, Plan& plan, std::vector<Need>& needs) {
  std::vector<Box> missing{wanted};
  std::vector<Box> next;
  auto const take = [&](SourceBox const& candidate, auto const& found) {
    next.clear();
    for (Box const& box : missing) {
      Box const shared = intersection(box, candidate.box);
      if (!shared.empty()) {
        found(Piece{parameter, shared});
      }
      subtract(box, candidate.box, next);
    }
    missing.swap(next);
  };
  if (own_source_rank >= 0) {
    for (SourceBox const& candidate : boxes) {
      if (candidate.held_by(own_source_rank)) {
        take(candidate, [&](Piece const& piece) {
          plan.local_copies.push_back({world_rank, piece});
        });
      }
    }
  }
  for (SourceBox const& candidate : boxes) {
    if (missing.empty()) {
      break;
    }
    take(candidate, [&](Piece const& piece) {
      needs.push_back(Need{piece, destination, -1, &candidate});
    });
  }
  if (!missing.empty()) {
    fail(Errc::incompatible_policy,
         text("parameter ", plan.parameters[static_cast<std::size_t>(parameter)].name,
              ": destination rank ", world_rank, " needs elements ", to_string(missing.front()),
              ", which no source rank holds",
              boxes.empty() ? " (the source has no parameter of that name)" : ""),
         world_rank);
  }
}

/// Everything the destination needs, rank by rank in the order of its parameters.
template <class = void>
[[nodiscard]] std::vector<Need> needs_of(Description const& source, Description const& destination,
                                         ParameterTable<> const& table,
                                         std::vector<std::vector<SourceBox>> const& boxes,
                                         Plan& plan) {
  std::vector<Need> needs;
  for (std::size_t rank = 0; rank < destination.ranks.size(); ++rank) {
    RankDescription const& side = destination.ranks[rank];
    int own = -1;
    for (std::size_t s = 0; s < source.ranks.size(); ++s) {
      own = source.ranks[s].world_rank == side.world_rank ? static_cast<int>(s) : own;
    }
    for (HeldParameter const& held : side.parameters) {
      int const number = table.find(held.name);
      table.expect_same(number, held, side.world_rank, "destination");
      for (HeldBox const& box : held.holding.boxes) {
        plan.bytes_needed += box.box.elements() * size_of(held.dtype);
        overlap(box.box, number, static_cast<int>(rank), side.world_rank, own,
                boxes[static_cast<std::size_t>(number)], plan, needs);
      }
    }
  }
  return needs;
}

/// How badly a source rank fits a destination rank in the reference's pairing; 0 fits.
[[nodiscard]] constexpr int distance(Layout const& source, Coordinate const& from,
                                     Layout const& destination, Coordinate const& to) noexcept {
  int const tensor = to.tensor * source.tensor / destination.tensor;
  return (from.data != to.data % source.data ? 4 : 0) + (from.tensor != tensor ? 2 : 0) +
         (from.expert != to.expert % source.expert ? 1 : 0);
}

template <class = void>
void choose_paired(Layout const& source, Layout const& destination, std::vector<Need>& needs) {
  for (Need& need : needs) {
    Coordinate const to = destination.coordinate(need.destination);
    int best = 8;
    for (int const holder : need.from->holders) {
      int const apart = distance(source, source.coordinate(holder), destination, to);
      if (apart < best) {
        best = apart;
        need.source = holder;
      }
    }
  }
}

/// Longest processing time first: the largest needs choose first, each the least loaded holder.
template <class = void>
void choose_balanced(Plan const& plan, int source_ranks, std::vector<Need>& needs) {
  std::vector<std::size_t> order(needs.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  rlhf::detail::sort_by(order, [&](std::size_t a, std::size_t b) {
    return bytes_of(plan, needs[a].piece) > bytes_of(plan, needs[b].piece);
  });
  std::vector<std::int64_t> sent(static_cast<std::size_t>(source_ranks), 0);
  for (std::size_t const i : order) {
    Need& need = needs[i];
    for (int const holder : need.from->holders) {
      if (need.source < 0 ||
          sent[static_cast<std::size_t>(holder)] < sent[static_cast<std::size_t>(need.source)]) {
        need.source = holder;
      }
    }
    sent[static_cast<std::size_t>(need.source)] += bytes_of(plan, need.piece);
  }
}

}  // namespace rlhf::inline v0::plan::detail
