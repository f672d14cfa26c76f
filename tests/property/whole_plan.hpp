// A plan spread out over all ranks, and a proof of it element by element that shares no code with
// the library's.
#pragma once

#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/schedule.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace whole {

namespace plan = rlhf::plan;

struct WholeParameter {
  std::string name;
  rlhf::DType dtype = rlhf::DType::f32;
  rlhf::DType wire = rlhf::DType::f32;
  rlhf::Shape global{};
};

/// A flow with its path.
struct WholeFlow {
  int source = 0;
  plan::Method method = plan::Method::send;
  std::vector<int> receivers;
  std::vector<plan::Forward> forwards;
  std::vector<int> destinations;
  std::int64_t bytes = 0;
};

struct Whole {
  std::vector<WholeParameter> parameters;
  std::vector<std::string> unused;
  std::vector<WholeFlow> flows;
  std::vector<plan::Bucket> buckets;
  std::vector<plan::LocalCopy> local_copies;
  std::int64_t bytes_needed = 0;
  std::int64_t bytes_local = 0;
  std::int64_t bytes_moved = 0;
  std::int64_t bytes_on_links = 0;
};

inline Whole spread(plan::Plan const& made) {
  Whole out;
  auto const kind_of = plan::kinds_of(made);
  for (std::size_t p = 0; p < made.parameters.size(); ++p) {
    plan::Kind const& kind = made.kinds.at(static_cast<std::size_t>(kind_of.at(p)));
    out.parameters.push_back(
        {made.parameters[p], kind.destination_dtype, kind.wire(), kind.global});
  }
  plan::Schedule const all = plan::schedule(made);
  for (plan::Flow const& flow : all.flows) {
    plan::Path const& path = made.paths.at(static_cast<std::size_t>(flow.path));
    out.flows.push_back(
        {flow.source, path.method, path.receivers, path.forwards, path.destinations, flow.bytes});
  }
  out.unused = made.unused;
  out.buckets = all.buckets;
  out.local_copies = all.copies;
  out.bytes_needed = made.bytes_needed;
  out.bytes_local = made.bytes_local;
  out.bytes_moved = made.bytes_moved;
  out.bytes_on_links = made.bytes_on_links;
  return out;
}

inline std::int64_t bytes_of(Whole const& whole, plan::Piece const& piece) {
  return piece.box.elements() *
         rlhf::size_of(whole.parameters.at(static_cast<std::size_t>(piece.parameter)).wire);
}

inline bool has(std::vector<int> const& ranks, int rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}

inline plan::RankDescription const* find_rank(plan::Description const& side, int world_rank) {
  for (plan::RankDescription const& rank : side.ranks) {
    if (rank.world_rank == world_rank) {
      return &rank;
    }
  }
  return nullptr;
}

inline bool holds(plan::RankDescription const* rank, std::string_view name, rlhf::Box const& box) {
  if (rank == nullptr) {
    return false;
  }
  for (plan::HeldParameter const& held : rank->parameters) {
    if (held.name == name) {
      for (rlhf::HeldBox const& candidate : held.holding.boxes) {
        if (candidate.box.contains(box)) {
          return true;
        }
      }
    }
  }
  return false;
}

/// A sentence about a flow whose bytes do not reach each of its destinations once.
inline std::string find_hop_fault(WholeFlow const& flow) {
  std::vector<int> reached = flow.receivers;
  for (plan::Forward const& forward : flow.forwards) {
    if (!has(flow.receivers, forward.from)) {
      return rlhf::text("rank ", forward.from, " forwards to ", forward.to,
                        " what it does not receive");
    }
    reached.push_back(forward.to);
  }
  for (int const rank : flow.destinations) {
    if (!has(reached, rank)) {
      return rlhf::text("bytes from rank ", flow.source, " do not reach rank ", rank,
                        ", which is to keep them");
    }
  }
  std::sort(reached.begin(), reached.end());
  for (std::size_t i = 1; i < reached.size(); ++i) {
    if (reached[i] == reached[i - 1]) {
      return rlhf::text("bytes from rank ", flow.source, " reach rank ", reached[i], " twice");
    }
  }
  return {};
}

/// An empty string when the plan is an exact cover, else a sentence naming the first thing wrong:
/// a piece that its source or destination does not hold, a destination that no hop reaches, an
/// element written twice, one not written, a bucket of other bytes than its pieces'.
///
/// Independent of `build`: it only reads the plan and the descriptions.
/// Cost: quadratic in the pieces of one parameter on one rank.
inline std::string element_fault(Whole const& whole, plan::Description const& source,
                                 plan::Description const& destination) {
  auto const name = [&](plan::Piece const& piece) -> std::string const& {
    return whole.parameters[static_cast<std::size_t>(piece.parameter)].name;
  };
  struct Written {
    int rank = 0;
    plan::Piece piece;
  };
  std::vector<Written> written;
  bool claimed_wrongly = false;
  for (WholeFlow const& flow : whole.flows) {
    std::string fault = find_hop_fault(flow);
    if (!fault.empty()) {
      return fault;
    }
  }
  for (plan::Bucket const& bucket : whole.buckets) {
    WholeFlow const& flow = whole.flows[static_cast<std::size_t>(bucket.flow)];
    std::int64_t bytes = 0;
    for (plan::Piece const& piece : bucket.pieces) {
      if (!holds(find_rank(source, flow.source), name(piece), piece.box)) {
        return rlhf::text("source rank ", flow.source, " does not hold ", name(piece), " ",
                          rlhf::to_string(piece.box));
      }
      for (int const rank : flow.destinations) {
        written.push_back({rank, piece});
      }
      bytes += bytes_of(whole, piece);
    }
    claimed_wrongly = claimed_wrongly || bytes != bucket.bytes;
  }
  for (plan::LocalCopy const& copy : whole.local_copies) {
    if (!holds(find_rank(source, copy.rank), name(copy.piece), copy.piece.box)) {
      return rlhf::text("rank ", copy.rank, " copies ", name(copy.piece), " ",
                        rlhf::to_string(copy.piece.box), ", which it does not hold as a source");
    }
    written.push_back({copy.rank, copy.piece});
  }
  std::stable_sort(written.begin(), written.end(), [](Written const& a, Written const& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.piece.parameter < b.piece.parameter;
  });
  for (std::size_t i = 0; i < written.size(); ++i) {
    Written const& a = written[i];
    if (!holds(find_rank(destination, a.rank), name(a.piece), a.piece.box)) {
      return rlhf::text("destination rank ", a.rank, " does not hold ", name(a.piece), " ",
                        rlhf::to_string(a.piece.box));
    }
    for (std::size_t j = i + 1; j < written.size() && written[j].rank == a.rank &&
                                written[j].piece.parameter == a.piece.parameter;
         ++j) {
      if (!rlhf::intersection(a.piece.box, written[j].piece.box).empty()) {
        return rlhf::text("rank ", a.rank, " receives ", name(a.piece), " ",
                          rlhf::to_string(rlhf::intersection(a.piece.box, written[j].piece.box)),
                          " twice");
      }
    }
  }
  for (plan::RankDescription const& rank : destination.ranks) {
    for (plan::HeldParameter const& held : rank.parameters) {
      std::int64_t wanted = 0;
      for (rlhf::HeldBox const& box : held.holding.boxes) {
        wanted += box.box.elements();
      }
      std::int64_t got = 0;
      for (Written const& write : written) {
        if (write.rank == rank.world_rank && name(write.piece) == held.name) {
          got += write.piece.box.elements();
        }
      }
      if (got != wanted) {
        return rlhf::text("rank ", rank.world_rank, " receives ", got, " of ", wanted,
                          " elements of ", held.name);
      }
    }
  }
  return claimed_wrongly ? "a bucket has other bytes than its pieces" : "";
}

}  // namespace whole
