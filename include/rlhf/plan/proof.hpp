/// @file
/// Shows that a plan writes every destination element once, from bytes that its source has.
/// Layer: plan.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {
namespace detail {

/// A sentence about a path whose bytes do not reach each of its destinations once.
template <class T = void>
[[nodiscard]] std::string find_hop_fault(int source, Path const& path) {
  rlhf::detail::late_vector<int, T> reached = path.receivers;
  for (Forward const& forward : path.forwards) {
    if (!rlhf::detail::contains(path.receivers, forward.from)) {
      return text("rank ", forward.from, " forwards to ", forward.to, " what it does not receive");
    }
    reached.push_back(forward.to);
  }
  for (int const rank : path.destinations) {
    if (!rlhf::detail::contains(reached, rank)) {
      return text("bytes from rank ", source, " do not reach rank ", rank,
                  ", which is to keep them");
    }
  }
  rlhf::detail::sort(reached);
  for (std::size_t i = 1; i < reached.size(); ++i) {
    if (reached[i] == reached[i - 1]) {
      return text("bytes from rank ", source, " reach rank ", reached[i], " twice");
    }
  }
  return {};
}

/// Which boxes each world rank holds of a pattern. Made from the placement alone.
template <class T>
class Holders {
 public:
  explicit Holders(BasicPlacement<T> const& placement)
      : placement_(placement),
        of_(placement.patterns.size()),
        made_(placement.patterns.size(), 0) {}

  /// Calls `visit(box)` for each box of the pattern that the rank holds.
  template <class Visit>
  void for_each_box(std::int32_t pattern, int world_rank, Visit&& visit) {
    auto const at = static_cast<std::size_t>(pattern);
    auto const& parts = placement_.patterns[at];
    auto& entries = of_[at];
    if (made_[at] == 0) {
      made_[at] = 1;
      for (std::size_t p = 0; p < parts.size(); ++p) {
        for (int const rank : placement_.rank_sets[static_cast<std::size_t>(parts[p].ranks)]) {
          entries.emplace_back(placement_.world_ranks[static_cast<std::size_t>(rank)],
                               static_cast<int>(p));
        }
      }
      rlhf::detail::sort(entries);
    }
    for (std::size_t i = rlhf::detail::first_not(
             entries, [&](auto const& entry) { return entry.first < world_rank; });
         i < entries.size() && entries[i].first == world_rank; ++i) {
      visit(parts[static_cast<std::size_t>(entries[i].second)].box);
    }
  }
  [[nodiscard]] bool holds(std::int32_t pattern, int world_rank, Box const& box) {
    bool found = false;
    for_each_box(pattern, world_rank,
                 [&](Box const& held) { found = found || held.contains(box); });
    return found;
  }

 private:
  BasicPlacement<T> const& placement_;
  rlhf::detail::late_vector<std::vector<std::pair<int, int>>, T> of_;  // (world rank, part)
  rlhf::detail::late_vector<std::uint8_t, T> made_;
};

/// The proof itself: every check returns a sentence about the first fault, or nothing.
template <class T>
class Proof {
 public:
  Proof(BasicPlan<T> const& plan, BasicPlacement<T> const& source,
        BasicPlacement<T> const& destination)
      : plan_(plan),
        source_(source),
        destination_(destination),
        givers_(source),
        takers_(destination) {
    for (std::size_t r = 0; r < destination.world_ranks.size(); ++r) {
      auto const world = static_cast<std::size_t>(destination.world_ranks[r]);
      if (module_rank_.size() <= world) {
        module_rank_.resize(world + 1, 0);
      }
      module_rank_[world] = r;
    }
  }

  [[nodiscard]] std::string find() {
    std::string fault = check_kinds();
    rlhf::detail::late_vector<std::vector<std::size_t>, T> moves(plan_.kinds.size());
    rlhf::detail::late_vector<std::vector<std::size_t>, T> copies(plan_.kinds.size());
    for (std::size_t m = 0; fault.empty() && m < plan_.moves.size(); ++m) {
      fault = check_move(plan_.moves[m]);
      if (fault.empty()) {
        moves[static_cast<std::size_t>(plan_.moves[m].kind)].push_back(m);
      }
    }
    for (std::size_t c = 0; fault.empty() && c < plan_.copies.size(); ++c) {
      fault = check_copy(plan_.copies[c]);
      if (fault.empty()) {
        copies[static_cast<std::size_t>(plan_.copies[c].kind)].push_back(c);
      }
    }
    for (std::size_t k = 0; fault.empty() && k < plan_.kinds.size(); ++k) {
      // Moves may serve a part of the kind's parameters; between two borders all lie alike.
      rlhf::detail::late_vector<std::int32_t, T> borders{0};
      for (std::size_t const m : moves[k]) {
        borders.push_back(plan_.moves[m].begin);
        borders.push_back(plan_.moves[m].end);
      }
      rlhf::detail::sort(borders);
      for (std::size_t b = 0; fault.empty() && b < borders.size(); ++b) {
        bool const last = b + 1 == borders.size();
        if ((last || borders[b] != borders[b + 1]) &&
            borders[b] < static_cast<std::int32_t>(plan_.kinds[k].parameters.size())) {
          fault = check_cover(k, borders[b], moves[k], copies[k]);
        }
      }
    }
    return fault;
  }

 private:
  /// Every destination parameter belongs to one kind, of its shape, types and patterns; every other
  /// of the source is named as left over.
  [[nodiscard]] std::string check_kinds() {
    if (plan_.parameters.size() != destination_.parameters.size()) {
      return text("the plan has ", plan_.parameters.size(), " parameters, the destination ",
                  destination_.parameters.size());
    }
    rlhf::detail::late_vector<std::pair<std::string_view, std::size_t>, T> by_name;
    for (std::size_t s = 0; s < source_.parameters.size(); ++s) {
      by_name.emplace_back(source_.parameters[s].name, s);
    }
    rlhf::detail::sort(by_name);
    rlhf::detail::late_vector<int, T> seen(plan_.parameters.size(), 0);
    rlhf::detail::late_vector<std::uint8_t, T> used(source_.parameters.size(), 0);
    patterns_.clear();
    for (Kind const& kind : plan_.kinds) {
      patterns_.emplace_back(-1, -1);
      for (std::int32_t const p : kind.parameters) {
        auto const index = static_cast<std::size_t>(p);
        if (p < 0 || index >= seen.size() || seen[index]++ != 0) {
          return text("parameter number ", p, " belongs to two kinds or does not exist");
        }
        PlacedParameter const& to = destination_.parameters[index];
        std::string_view const name = to.name;
        std::size_t const at =
            rlhf::detail::first_not(by_name, [&](auto const& entry) { return entry.first < name; });
        if (plan_.parameters[index] != to.name || at == by_name.size() ||
            by_name[at].first != name) {
          return text("parameter ", plan_.parameters[index], " is not the destination's ", name,
                      " or has no source");
        }
        PlacedParameter const& from = source_.parameters[by_name[at].second];
        used[by_name[at].second] = 1;
        bool const first = patterns_.back().first < 0;
        if (from.global != kind.global || to.global != kind.global ||
            from.dtype != kind.source_dtype || to.dtype != kind.destination_dtype ||
            (!first && patterns_.back() != std::pair(from.pattern, to.pattern))) {
          return text("parameter ", name, " does not lie like the others of its kind");
        }
        patterns_.back() = {from.pattern, to.pattern};
      }
    }
    for (std::size_t p = 0; p < seen.size(); ++p) {
      if (seen[p] == 0) {
        return text("parameter ", plan_.parameters[p], " belongs to no kind");
      }
    }
    for (std::string_view const name : plan_.unused) {
      std::size_t const at =
          rlhf::detail::first_not(by_name, [&](auto const& entry) { return entry.first < name; });
      if (at == by_name.size() || by_name[at].first != name || used[by_name[at].second]++ != 0) {
        return text("the plan leaves over ", name,
                    ", which the source does not hold, or the destination takes");
      }
    }
    for (std::size_t s = 0; s < used.size(); ++s) {
      if (used[s] == 0) {
        return text("parameter ", source_.parameters[s].name,
                    " of the source is neither taken nor named as left over");
      }
    }
    return {};
  }

  [[nodiscard]] std::string const& name(std::int32_t kind, std::int32_t at = 0) const {
    auto const& parameters = plan_.kinds[static_cast<std::size_t>(kind)].parameters;
    return plan_.parameters[static_cast<std::size_t>(parameters[static_cast<std::size_t>(at)])];
  }
  [[nodiscard]] bool is_kind(std::int32_t kind) const {
    return kind >= 0 && static_cast<std::size_t>(kind) < plan_.kinds.size() &&
           !plan_.kinds[static_cast<std::size_t>(kind)].parameters.empty();
  }
  [[nodiscard]] bool is_set(std::int32_t set) const {
    return set >= 0 && static_cast<std::size_t>(set) < plan_.rank_sets.size();
  }

  [[nodiscard]] std::string check_move(Move const& move) {
    if (!is_kind(move.kind) || !is_set(move.sources) || move.paths.empty()) {
      return "a move has no kind, no sources or no path";
    }
    auto const& kind = plan_.kinds[static_cast<std::size_t>(move.kind)];
    if (move.begin < 0 || move.begin >= move.end ||
        move.end > static_cast<std::int32_t>(kind.parameters.size()) ||
        move.box.rank() != kind.global.rank()) {
      return text("a move of ", name(move.kind), " has other parameters than its kind");
    }
    auto const& sources = plan_.rank_sets[static_cast<std::size_t>(move.sources)];
    auto const units = move.parameters() * static_cast<std::int64_t>(move.paths.size());
    bool right = move.first.size() == sources.size() + 1 && move.first.front() == 0 &&
                 move.first.back() == units;
    for (std::size_t s = 0; right && s < sources.size(); ++s) {
      right = move.first[s] <= move.first[s + 1];
    }
    if (!right) {
      return text("a move of ", name(move.kind), " ", to_string(move.box),
                  " is not dealt out once to its sources");
    }
    for (int const source : sources) {
      if (!givers_.holds(patterns_[static_cast<std::size_t>(move.kind)].first, source, move.box)) {
        return text("source rank ", source, " does not hold ", name(move.kind), " ",
                    to_string(move.box));
      }
    }
    for (std::int32_t const p : move.paths) {
      if (p < 0 || static_cast<std::size_t>(p) >= plan_.paths.size()) {
        return text("a move of ", name(move.kind), " goes a path that does not exist");
      }
      std::string fault = find_hop_fault(sources.front(), plan_.paths[static_cast<std::size_t>(p)]);
      if (!fault.empty()) {
        return fault;
      }
    }
    return {};
  }

  [[nodiscard]] std::string check_copy(Copy const& copy) {
    if (!is_kind(copy.kind) || !is_set(copy.ranks)) {
      return "a copy has no kind or no ranks";
    }
    for (int const rank : plan_.rank_sets[static_cast<std::size_t>(copy.ranks)]) {
      if (!givers_.holds(patterns_[static_cast<std::size_t>(copy.kind)].first, rank, copy.box)) {
        return text("rank ", rank, " copies ", name(copy.kind), " ", to_string(copy.box),
                    ", which it does not hold as a source");
      }
    }
    return {};
  }

  /// What every destination rank gets of one parameter of a kind is what it holds, each element
  /// once.
  [[nodiscard]] std::string check_cover(std::size_t k, std::int32_t at,
                                        rlhf::detail::late_vector<std::size_t, T> const& moves,
                                        rlhf::detail::late_vector<std::size_t, T> const& copies) {
    auto const kind = static_cast<std::int32_t>(k);
    std::int32_t const pattern = patterns_[k].second;
    rlhf::detail::late_vector<std::pair<int, Box const*>, T> written;
    for (std::size_t const m : moves) {
      Move const& move = plan_.moves[m];
      if (move.begin <= at && at < move.end) {
        for (std::int32_t const p : move.paths) {
          for (int const rank : plan_.paths[static_cast<std::size_t>(p)].destinations) {
            written.emplace_back(rank, &move.box);
          }
        }
      }
    }
    for (std::size_t const c : copies) {
      for (int const rank : plan_.rank_sets[static_cast<std::size_t>(plan_.copies[c].ranks)]) {
        written.emplace_back(rank, &plan_.copies[c].box);
      }
    }
    rlhf::detail::sort_by(written, [](auto const& a, auto const& b) {
      return a.first != b.first ? a.first < b.first : before(*a.second, *b.second);
    });
    rlhf::detail::late_vector<std::int64_t, T> got(destination_.world_ranks.size(), 0);
    for (std::size_t i = 0; i < written.size(); ++i) {
      auto const& [rank, box] = written[i];
      if (!takers_.holds(pattern, rank, *box)) {
        return text("destination rank ", rank, " does not hold ", name(kind, at), " ",
                    to_string(*box));
      }
      for (std::size_t j = i + 1; j < written.size() && written[j].first == rank; ++j) {
        if (box->rank() != 0 && written[j].second->start[0] >= box->end(0)) {
          break;  // boxes come in order of their starts
        }
        if (!intersection(*box, *written[j].second).empty()) {
          return text("rank ", rank, " receives ", name(kind, at), " ",
                      to_string(intersection(*box, *written[j].second)), " twice");
        }
      }
      got[module_rank_[static_cast<std::size_t>(rank)]] += box->elements();
    }
    rlhf::detail::late_vector<std::int64_t, T> wanted(got.size(), 0);
    for (Part const& part : destination_.patterns[static_cast<std::size_t>(pattern)]) {
      for (int const rank : destination_.rank_sets[static_cast<std::size_t>(part.ranks)]) {
        wanted[static_cast<std::size_t>(rank)] += part.box.elements();
      }
    }
    for (std::size_t r = 0; r < got.size(); ++r) {
      if (got[r] != wanted[r]) {
        return text("rank ", destination_.world_ranks[r], " receives ", got[r], " of ", wanted[r],
                    " elements of ", name(kind, at));
      }
    }
    return {};
  }

  BasicPlan<T> const& plan_;
  BasicPlacement<T> const& source_;
  BasicPlacement<T> const& destination_;
  Holders<T> givers_;
  Holders<T> takers_;
  rlhf::detail::late_vector<std::pair<std::int32_t, std::int32_t>, T> patterns_;  // of every kind
  rlhf::detail::late_vector<std::size_t, T> module_rank_;  // of the destination, by world rank
};

}  // namespace detail

/// An empty string when the plan is an exact cover, else a sentence naming the first thing wrong: a
/// parameter without a kind, a move whose sources do not hold its bytes or that is not dealt out
/// once, a destination that no hop reaches, an element written twice, one not written, a source
/// parameter that is neither taken nor named as left over.
///
/// Independent of `build`: it only reads the plan and the placements. A destination's own boxes
/// must be disjoint on a rank. Cost: every rank's boxes of every kind, n log n.
template <class T>
[[nodiscard]] std::string find_fault(BasicPlan<T> const& plan, BasicPlacement<T> const& source,
                                     BasicPlacement<T> const& destination) {
  return detail::Proof<T>(plan, source, destination).find();
}

/// The same for what every rank of both modules listed.
template <class T>
[[nodiscard]] std::string find_fault(BasicPlan<T> const& plan, BasicDescription<T> const& source,
                                     BasicDescription<T> const& destination) {
  return find_fault(plan, placement_of(source, "source"), placement_of(destination, "destination"));
}

}  // namespace rlhf::inline v0::plan
