/// @file
/// Shows that a plan writes every destination element once, from bytes that its source has.
/// Layer: plan.
#pragma once

#include <rlhf/core/sort.hpp>
#include <rlhf/plan/description.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::plan {
namespace detail {

template <class = void>
[[nodiscard]] RankDescription const* find_rank(Description const& side, int world_rank) {
  for (RankDescription const& rank : side.ranks) {
    if (rank.world_rank == world_rank) {
      return &rank;
    }
  }
  return nullptr;
}

template <class = void>
[[nodiscard]] bool holds(RankDescription const* rank, std::string_view name, Box const& box) {
  if (rank == nullptr) {
    return false;
  }
  for (HeldParameter const& held : rank->parameters) {
    if (held.name == name) {
      for (HeldBox const& candidate : held.holding.boxes) {
        if (candidate.box.contains(box)) {
          return true;
        }
      }
    }
  }
  return false;
}

/// A sentence about a flow whose bytes do not reach each of its destinations once.
template <class = void>
[[nodiscard]] std::string find_hop_fault(Flow const& flow) {
  std::vector<int> reached = flow.receivers;
  for (Forward const& forward : flow.forwards) {
    if (!rlhf::detail::contains(flow.receivers, forward.from)) {
      return text("rank ", forward.from, " forwards to ", forward.to, " what it does not receive");
    }
    reached.push_back(forward.to);
  }
  for (int const rank : flow.destinations) {
    if (!rlhf::detail::contains(reached, rank)) {
      return text("bytes from rank ", flow.source, " do not reach rank ", rank,
                  ", which is to keep them");
    }
  }
  rlhf::detail::sort(reached);
  for (std::size_t i = 1; i < reached.size(); ++i) {
    if (reached[i] == reached[i - 1]) {
      return text("bytes from rank ", flow.source, " reach rank ", reached[i], " twice");
    }
  }
  return {};
}

}  // namespace detail

/// An empty string when the plan is an exact cover, else a sentence naming the first thing wrong:
/// a piece that its source or destination does not hold, a destination that no hop reaches, an
/// element written twice, one not written, a bucket of other bytes than its pieces'.
///
/// Independent of `build`: it only reads the plan and the descriptions.
/// Cost: quadratic in the pieces of one parameter on one rank.
template <class = void>
[[nodiscard]] std::string find_fault(Plan const& plan, Description const& source,
                                     Description const& destination) {
  auto const name = [&](Piece const& piece) -> std::string const& {
    return plan.parameters[static_cast<std::size_t>(piece.parameter)].name;
  };
  struct Written {
    int rank = 0;
    Piece piece;
  };
  std::vector<Written> written;
  bool claimed_wrongly = false;
  for (Flow const& flow : plan.flows) {
    std::string fault = detail::find_hop_fault(flow);
    if (!fault.empty()) {
      return fault;
    }
  }
  for (Bucket const& bucket : plan.buckets) {
    Flow const& flow = plan.flows[static_cast<std::size_t>(bucket.flow)];
    std::int64_t bytes = 0;
    for (Piece const& piece : bucket.pieces) {
      if (!detail::holds(detail::find_rank(source, flow.source), name(piece), piece.box)) {
        return text("source rank ", flow.source, " does not hold ", name(piece), " ",
                    to_string(piece.box));
      }
      for (int const rank : flow.destinations) {
        written.push_back({rank, piece});
      }
      bytes += bytes_of(plan, piece);
    }
    claimed_wrongly = claimed_wrongly || bytes != bucket.bytes;
  }
  for (LocalCopy const& copy : plan.local_copies) {
    if (!detail::holds(detail::find_rank(source, copy.rank), name(copy.piece), copy.piece.box)) {
      return text("rank ", copy.rank, " copies ", name(copy.piece), " ", to_string(copy.piece.box),
                  ", which it does not hold as a source");
    }
    written.push_back({copy.rank, copy.piece});
  }
  rlhf::detail::sort_by(written, [](Written const& a, Written const& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.piece.parameter < b.piece.parameter;
  });
  for (std::size_t i = 0; i < written.size(); ++i) {
    Written const& a = written[i];
    if (!detail::holds(detail::find_rank(destination, a.rank), name(a.piece), a.piece.box)) {
      return text("destination rank ", a.rank, " does not hold ", name(a.piece), " ",
                  to_string(a.piece.box));
    }
    for (std::size_t j = i + 1; j < written.size() && written[j].rank == a.rank &&
                                written[j].piece.parameter == a.piece.parameter;
         ++j) {
      if (!intersection(a.piece.box, written[j].piece.box).empty()) {
        return text("rank ", a.rank, " receives ", name(a.piece), " ",
                    to_string(intersection(a.piece.box, written[j].piece.box)), " twice");
      }
    }
  }
  for (RankDescription const& rank : destination.ranks) {
    for (HeldParameter const& held : rank.parameters) {
      std::int64_t wanted = 0;
      for (HeldBox const& box : held.holding.boxes) {
        wanted += box.box.elements();
      }
      std::int64_t got = 0;
      for (Written const& write : written) {
        if (write.rank == rank.world_rank && name(write.piece) == held.name) {
          got += write.piece.box.elements();
        }
      }
      if (got != wanted) {
        return text("rank ", rank.world_rank, " receives ", got, " of ", wanted, " elements of ",
                    held.name);
      }
    }
  }
  return claimed_wrongly ? "a bucket has other bytes than its pieces" : "";
}

}  // namespace rlhf::inline v0::plan
