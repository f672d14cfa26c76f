/// @file
/// Makes plans. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/cost.hpp>
#include <rlhf/plan/detail/choose.hpp>
#include <rlhf/plan/detail/overlap.hpp>
#include <rlhf/plan/options.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/relay.hpp>
#include <rlhf/plan/schedule_size.hpp>
#include <rlhf/plan/simulate.hpp>
#include <rlhf/plan/topology.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {
namespace detail {

/// Whether a sync can turn elements of one type into the other.
[[nodiscard]] constexpr bool converts(DType from, DType to) noexcept {
  auto const is_float = [](DType dtype) {
    return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
  };
  return from == to || (is_float(from) && is_float(to));
}

/// One plan in the making.
template <class T>
class Builder {
 public:
  Builder(BasicPlacement<T> const& source, BasicPlacement<T> const& destination,
          Options const& options, BasicTopology<T> const& topology)
      : source_(source),
        destination_(destination),
        options_(options),
        topology_(topology),
        own_(destination.world_ranks.size(), -1),
        single_(destination.world_ranks.size(), -1) {
    plan_.route = options.route;
    plan_.bucket_bytes = options.bucket_bytes;
    plan_.slots = options.slots;
    rlhf::detail::late_vector<int, T> source_of;  // world rank to source module rank
    for (auto const* const side : {&source.world_ranks, &destination.world_ranks}) {
      for (int const rank : *side) {
        plan_.world = rank < plan_.world ? plan_.world : rank + 1;
      }
    }
    source_of.assign(static_cast<std::size_t>(plan_.world), -1);
    for (std::size_t s = 0; s < source.world_ranks.size(); ++s) {
      source_of[static_cast<std::size_t>(source.world_ranks[s])] = static_cast<int>(s);
    }
    is_destination_.assign(source.world_ranks.size(), 0);
    for (std::size_t d = 0; d < own_.size(); ++d) {
      own_[d] = source_of[static_cast<std::size_t>(destination.world_ranks[d])];
      if (own_[d] >= 0) {
        is_destination_[static_cast<std::size_t>(own_[d])] = 1;
      }
    }
    plan_.source_ranks = add_ranks(source.world_ranks);
    plan_.destination_ranks = add_ranks(destination.world_ranks);
    if (options.route == Route::two_stage) {
      relays_.push_back(RelayChoice<T>(source.layout, destination.layout));
    }
  }

  [[nodiscard]] BasicPlan<T> build() {
    make_kinds();
    indices_.resize(source_.patterns.size());
    indexed_.assign(source_.patterns.size(), 0);
    for (std::size_t k = 0; k < plan_.kinds.size(); ++k) {
      plan_kind(static_cast<std::int32_t>(k));
    }
    if (options_.choice == SourceChoice::balanced || options_.route == Route::hierarchical) {
      choose_balanced(
          plan_, options_.route == Route::hierarchical,
          [this](rlhf::detail::late_vector<int, T> ranks) { return add_ranks(std::move(ranks)); });
    } else {
      for (auto& move : plan_.moves) {
        move.first = {0, move.parameters() * static_cast<std::int64_t>(move.paths.size())};
      }
    }
    add_totals();
    return std::move(plan_);
  }

 private:
  /// Groups the destination's parameters by how they lie on both sides.
  void make_kinds() {
    rlhf::detail::HashIndex<T> by_name;
    for (std::size_t s = 0; s < source_.parameters.size(); ++s) {
      by_name.add(Fingerprint().add(source_.parameters[s].name).value(), static_cast<int>(s));
    }
    rlhf::detail::late_vector<std::uint8_t, T> used(source_.parameters.size(), 0);
    rlhf::detail::HashIndex<T> by_look;
    for (std::size_t p = 0; p < destination_.parameters.size(); ++p) {
      PlacedParameter const& wanted = destination_.parameters[p];
      int const found = by_name.find(Fingerprint().add(wanted.name).value(), [&](int number) {
        return source_.parameters[static_cast<std::size_t>(number)].name == wanted.name;
      });
      if (found < 0) {
        refuse_missing(wanted, by_name);
      }
      PlacedParameter const& given = source_.parameters[static_cast<std::size_t>(found)];
      used[static_cast<std::size_t>(found)] = 1;
      if (given.global != wanted.global || !converts(given.dtype, wanted.dtype)) {
        refuse_difference(wanted, given);
      }
      std::int32_t const look[] = {given.pattern, wanted.pattern,
                                   static_cast<std::int32_t>(given.dtype),
                                   static_cast<std::int32_t>(wanted.dtype)};
      Fingerprint print;
      for (std::int32_t const value : look) {
        print.add(static_cast<std::uint64_t>(value));
      }
      add(print, wanted.global);
      auto const same = [&](int number) {
        auto const index = static_cast<std::size_t>(number);
        return patterns_of_[index].first == given.pattern &&
               patterns_of_[index].second == wanted.pattern &&
               plan_.kinds[index].source_dtype == given.dtype &&
               plan_.kinds[index].destination_dtype == wanted.dtype &&
               plan_.kinds[index].global == wanted.global;
      };
      int kind = by_look.find(print.value(), same);
      if (kind < 0) {
        kind = static_cast<int>(plan_.kinds.size());
        by_look.add(print.value(), kind);
        plan_.kinds.push_back(Kind{given.dtype, wanted.dtype, wanted.global, {}});
        patterns_of_.emplace_back(given.pattern, wanted.pattern);
      }
      plan_.kinds[static_cast<std::size_t>(kind)].parameters.push_back(
          static_cast<std::int32_t>(p));
      plan_.parameters.push_back(wanted.name);
    }
    for (std::size_t s = 0; s < used.size(); ++s) {
      if (used[s] == 0) {
        plan_.unused.push_back(source_.parameters[s].name);
      }
    }
    rlhf::detail::sort(plan_.unused);
  }

  [[nodiscard]] int first_holder(BasicPlacement<T> const& side, std::int32_t pattern) const {
    for (Part const& part : side.patterns[static_cast<std::size_t>(pattern)]) {
      auto const& ranks = side.rank_sets[static_cast<std::size_t>(part.ranks)];
      return side.world_ranks[static_cast<std::size_t>(ranks.front())];
    }
    return side.world_ranks.front();
  }
  /// Names everything that lacks a source, and what the source has instead.
  [[noreturn]] void refuse_missing(PlacedParameter const& wanted,
                                   rlhf::detail::HashIndex<T> const& by_name) const {
    auto const few = [](rlhf::detail::late_vector<std::string_view, T> const& names) {
      std::string out;
      for (std::size_t i = 0; i < names.size() && i < 5; ++i) {
        out += text(i == 0 ? "" : ", ", names[i]);
      }
      return names.size() > 5 ? text(out, " and ", names.size() - 5, " more") : out;
    };
    auto const lacking = [](auto const& these, auto const& known) {
      rlhf::detail::late_vector<std::string_view, T> out;
      for (PlacedParameter const& parameter : these) {
        if (!known(parameter.name)) {
          out.push_back(parameter.name);
        }
      }
      return out;
    };
    auto const missing = lacking(destination_.parameters, [&](std::string_view name) {
      return by_name.find(Fingerprint().add(name).value(), [&](int number) {
        return source_.parameters[static_cast<std::size_t>(number)].name == name;
      }) >= 0;
    });
    rlhf::detail::HashIndex<T> in_destination;
    for (std::size_t p = 0; p < destination_.parameters.size(); ++p) {
      in_destination.add(Fingerprint().add(destination_.parameters[p].name).value(),
                         static_cast<int>(p));
    }
    auto const unused = lacking(source_.parameters, [&](std::string_view name) {
      return in_destination.find(Fingerprint().add(name).value(), [&](int number) {
        return destination_.parameters[static_cast<std::size_t>(number)].name == name;
      }) >= 0;
    });
    int const rank = first_holder(destination_, wanted.pattern);
    fail(Errc::incompatible_policy,
         text("parameter ", wanted.name, ": destination rank ", rank, " needs elements ",
              to_string(Box::whole(wanted.global)),
              ", which no source rank holds (the source has no parameter of that name). Without a "
              "source: ",
              few(missing),
              "; source parameters that nobody takes: ", unused.empty() ? "none" : few(unused),
              "; a name map or a subset may be what is wanted"),
         rank);
  }
  [[noreturn]] void refuse_difference(PlacedParameter const& wanted,
                                      PlacedParameter const& given) const {
    int const rank = first_holder(source_, given.pattern);
    fail(
        Errc::incompatible_policy,
        text("parameter ", wanted.name, " is ", rlhf::to_string(wanted.dtype), " ",
             to_string(wanted.global), " in the destination, but ", rlhf::to_string(given.dtype),
             " ", to_string(given.global), " on source rank ", rank,
             given.global != wanted.global ? "; global shapes must be equal on both sides"
                                           : "; types must be equal, or both of f32, bf16 and f16"),
        rank);
  }

  [[nodiscard]] PatternIndex<T> const& index_of(std::int32_t pattern) {
    auto const at = static_cast<std::size_t>(pattern);
    if (indexed_[at] == 0) {
      indexed_[at] = 1;
      indices_[at] = PatternIndex<T>(source_, pattern, [&](int rank) {
        return is_destination_[static_cast<std::size_t>(rank)] != 0;
      });
    }
    return indices_[at];
  }

  /// All copies and moves of one kind.
  void plan_kind(std::int32_t kind) {
    auto const [from, to] = patterns_of_[static_cast<std::size_t>(kind)];
    PatternIndex<T> const& source = index_of(from);
    rlhf::detail::late_vector<Need, T> moves;
    rlhf::detail::late_vector<Need, T> copies;
    for (Part const& part : destination_.patterns[static_cast<std::size_t>(to)]) {
      for (auto const& group : groups_of(part, source)) {
        auto const into = [&](rlhf::detail::late_vector<Need, T>& needs) {
          return [&needs, &group](std::int32_t index, Box const& box) {
            needs.push_back(Need{index, box, group.ranks});
          };
        };
        auto copy = into(copies);
        auto move = into(moves);
        rlhf::detail::late_vector<Box, T> const missing =
            cover(part.box, source, group.own, copy, move);
        if (!missing.empty()) {
          int const rank = destination_.world_ranks[static_cast<std::size_t>(group.ranks.front())];
          Kind const& planned = plan_.kinds[static_cast<std::size_t>(kind)];
          auto const parameter = static_cast<std::size_t>(planned.parameters.front());
          fail(Errc::incompatible_policy,
               text("parameter ", plan_.parameters[parameter], ": destination rank ", rank,
                    " needs elements ", to_string(missing.front()), ", which no source rank holds"),
               rank);
        }
      }
    }
    merge_needs(copies);
    merge_needs(moves);
    for (Need& need : copies) {
      plan_.copies.push_back(Copy{kind, need.box, add_ranks(world_ranks_of(need.ranks))});
    }
    for (Need const& need : moves) {
      emit(kind, need.box,
           source_.rank_sets[static_cast<std::size_t>(source.part(need.part).ranks)], need.ranks);
    }
  }

  struct Group {
    rlhf::detail::late_vector<std::int32_t, T> own;  // parts that the same ranks hold as sources
    rlhf::detail::late_vector<int, T> ranks;
  };
  /// The ranks of a destination part, by what they hold on the source side themselves.
  [[nodiscard]] rlhf::detail::late_vector<Group, T> groups_of(Part const& part,
                                                              PatternIndex<T> const& source) {
    rlhf::detail::late_vector<Group, T> groups;
    for (int const rank : destination_.rank_sets[static_cast<std::size_t>(part.ranks)]) {
      int const as_source = own_[static_cast<std::size_t>(rank)];
      rlhf::detail::late_vector<std::int32_t, T> own;
      if (as_source >= 0) {
        own = source.of_rank(as_source);
        std::size_t kept = 0;
        for (std::int32_t const index : own) {
          if (!intersection(source.part(index).box, part.box).empty()) {
            own[kept++] = index;
          }
        }
        own.resize(kept);
      }
      std::size_t at = 0;
      while (at < groups.size() && groups[at].own != own) {
        ++at;
      }
      if (at == groups.size()) {
        groups.push_back(Group{std::move(own), {}});
      }
      groups[at].ranks.push_back(rank);
    }
    return groups;
  }

  [[nodiscard]] rlhf::detail::late_vector<int, T> world_ranks_of(
      rlhf::detail::late_vector<int, T> const& ranks) const {
    rlhf::detail::late_vector<int, T> out;
    out.reserve(ranks.size());
    for (int const rank : ranks) {
      out.push_back(destination_.world_ranks[static_cast<std::size_t>(rank)]);
    }
    return out;
  }
  [[nodiscard]] std::int32_t add_ranks(rlhf::detail::late_vector<int, T> world_ranks) {
    return sets_.add(std::move(world_ranks),
                     [](Fingerprint& print, auto const& set) { detail::add(print, set); });
  }
  [[nodiscard]] std::int32_t add_sources(rlhf::detail::late_vector<int, T> const& ranks) {
    rlhf::detail::late_vector<int, T> world;
    world.reserve(ranks.size());
    for (int const rank : ranks) {
      world.push_back(source_.world_ranks[static_cast<std::size_t>(rank)]);
    }
    return add_ranks(std::move(world));
  }
  [[nodiscard]] std::int32_t add_path(Path path) {
    return paths_.add(std::move(path), [](Fingerprint& print, Path const& one) {
      print.add(static_cast<std::uint64_t>(one.method));
      detail::add(print, one.receivers);
      detail::add(print, one.destinations);
      for (Forward const& forward : one.forwards) {
        print.add(static_cast<std::uint64_t>(forward.from))
            .add(static_cast<std::uint64_t>(forward.to));
      }
    });
  }
  /// Straight to one destination module rank.
  [[nodiscard]] std::int32_t path_to(int rank) {
    std::int32_t& known = single_[static_cast<std::size_t>(rank)];
    if (known < 0) {
      int const world = destination_.world_ranks[static_cast<std::size_t>(rank)];
      known = add_path(Path{Method::send, {world}, {}, {world}});
    }
    return known;
  }
  [[nodiscard]] rlhf::detail::late_vector<std::int32_t, T> paths_to(
      rlhf::detail::late_vector<int, T> const& ranks) {
    rlhf::detail::late_vector<std::int32_t, T> out;
    out.reserve(ranks.size());
    for (int const rank : ranks) {
      out.push_back(path_to(rank));
    }
    return out;
  }
  void add_move(std::int32_t kind, Box const& box, std::int32_t sources,
                rlhf::detail::late_vector<std::int32_t, T> paths) {
    auto const all =
        static_cast<std::int32_t>(plan_.kinds[static_cast<std::size_t>(kind)].parameters.size());
    plan_.moves.push_back(Move{kind, box, 0, all, sources, std::move(paths), {}});
  }

  /// Plans how source ranks `from` bring a box to destination ranks `to`.
  void emit(std::int32_t kind, Box const& box, rlhf::detail::late_vector<int, T> const& from,
            rlhf::detail::late_vector<int, T> const& to) {
    if (options_.route == Route::hierarchical && !topology_.is_flat()) {
      emit_hierarchical(kind, box, from, to);
    } else if (options_.choice == SourceChoice::paired || options_.route == Route::two_stage) {
      // Each destination rank has its source; those with the same one go together.
      rlhf::detail::late_vector<std::pair<int, std::vector<int>>, T> by_source;
      for (int const rank : to) {
        int const source = paired_source(from, rank);
        std::size_t at = 0;
        while (at < by_source.size() && by_source[at].first != source) {
          ++at;
        }
        if (at == by_source.size()) {
          by_source.emplace_back(source, rlhf::detail::late_vector<int, T>{});
        }
        by_source[at].second.push_back(rank);
      }
      for (auto const& [source, ranks] : by_source) {
        add_move(kind, box, add_sources({source}), route_from(source, ranks));
      }
    } else {
      add_move(kind, box, add_sources(from), route_from(from.front(), to));
    }
  }

  [[nodiscard]] int paired_source(rlhf::detail::late_vector<int, T> const& from, int rank) const {
    Coordinate const to = destination_.layout.coordinate(rank);
    int best = 8;
    int source = from.front();
    for (int const holder : from) {
      int const apart =
          distance(source_.layout, source_.layout.coordinate(holder), destination_.layout, to);
      if (apart < best) {
        best = apart;
        source = holder;
      }
    }
    return source;
  }

  [[nodiscard]] rlhf::detail::late_vector<std::int32_t, T> route_from(
      int source, rlhf::detail::late_vector<int, T> const& to) {
    if (options_.route == Route::two_stage) {
      return {two_stage_path(source, to)};
    }
    if (options_.route == Route::broadcast && to.size() > 1) {
      rlhf::detail::late_vector<int, T> const world = world_ranks_of(to);
      return {add_path(Path{Method::broadcast, world, {}, world})};
    }
    return paths_to(to);
  }

  /// To one relay for each group of destination ranks, which passes the box to the other members
  /// that need it.
  [[nodiscard]] std::int32_t two_stage_path(int source,
                                            rlhf::detail::late_vector<int, T> const& to) {
    RelayChoice<T>& relays = relays_.front();
    Path path;
    int const from = source_.world_ranks[static_cast<std::size_t>(source)];
    int const stage = source_.layout.coordinate(source).pipeline;
    auto const world = [&](int rank) {
      return destination_.world_ranks[static_cast<std::size_t>(rank)];
    };
    for (std::size_t i = 0; i < to.size();) {  // destinations ascend, so groups are runs
      int const group = relays.group_of(to[i]);
      bool source_is_member = false;
      for (int m = 0; m < relays.ratio(); ++m) {
        source_is_member = source_is_member || world(relays.member(group, m)) == from;
      }
      int const relay = world(relays.relay(group, stage));
      if (!source_is_member) {
        path.receivers.push_back(relay);
      }
      for (; i < to.size() && relays.group_of(to[i]) == group; ++i) {
        int const rank = world(to[i]);
        path.destinations.push_back(rank);
        if (source_is_member) {
          path.receivers.push_back(rank);  // the source sits inside the group: straight
        } else if (rank != relay) {
          path.forwards.push_back(Forward{relay, rank});
        }
      }
    }
    path.method = path.receivers.size() > 1 ? Method::broadcast : Method::send;
    return add_path(std::move(path));
  }

  /// Into each domain once, striped over the ranks there that need it, and on inside the domain.
  void emit_hierarchical(std::int32_t kind, Box const& box,
                         rlhf::detail::late_vector<int, T> const& from,
                         rlhf::detail::late_vector<int, T> const& to) {
    rlhf::detail::late_vector<std::pair<int, std::vector<int>>, T> by_domain;
    for (int const rank : to) {
      int const domain =
          topology_.domain_of(destination_.world_ranks[static_cast<std::size_t>(rank)]);
      std::size_t at = 0;
      while (at < by_domain.size() && by_domain[at].first != domain) {
        ++at;
      }
      if (at == by_domain.size()) {
        by_domain.emplace_back(domain, rlhf::detail::late_vector<int, T>{});
      }
      by_domain[at].second.push_back(rank);
    }
    rlhf::detail::late_vector<int, T> straight;  // alone in a domain without a source
    for (auto const& [domain, ranks] : by_domain) {
      rlhf::detail::late_vector<int, T> inside;
      for (int const source : from) {
        int const world = source_.world_ranks[static_cast<std::size_t>(source)];
        if (topology_.domain_of(world) == domain) {
          inside.push_back(source);
        }
      }
      if (!inside.empty()) {
        add_move(kind, box, add_sources(inside), paths_to(ranks));
      } else if (ranks.size() == 1) {
        straight.push_back(ranks.front());
      } else {
        emit_striped(kind, box, add_sources(from), world_ranks_of(ranks));
      }
    }
    if (!straight.empty()) {
      add_move(kind, box, add_sources(from), paths_to(straight));
    }
  }

  /// Each of the ranks takes a stripe across the slow link and gives it to the others.
  void emit_striped(std::int32_t kind, Box const& box, std::int32_t sources,
                    rlhf::detail::late_vector<int, T> const& ranks) {
    auto const relays = static_cast<std::int64_t>(ranks.size());
    auto const all =
        static_cast<std::int64_t>(plan_.kinds[static_cast<std::size_t>(kind)].parameters.size());
    int widest = -1;
    for (int d = 0; d < box.rank(); ++d) {
      widest = widest < 0 || box.extent[d] > box.extent[widest] ? d : widest;
    }
    bool const by_parameter = all >= relays || widest < 0;
    std::int64_t const total = by_parameter ? all : box.extent[widest];
    for (std::int64_t i = 0; i < relays; ++i) {
      std::int64_t const begin = total * i / relays;
      std::int64_t const end = total * (i + 1) / relays;
      if (begin == end) {
        continue;
      }
      // Stripes differ in size by one at most; kinds begin with different ranks.
      int const relay = ranks[static_cast<std::size_t>((i + kind) % relays)];
      Path path{Method::send, {relay}, {}, ranks};
      for (int const rank : ranks) {
        if (rank != relay) {
          path.forwards.push_back(Forward{relay, rank});
        }
      }
      Box part = box;
      if (!by_parameter) {
        part.start[widest] += begin;
        part.extent[widest] = end - begin;
      }
      add_move(kind, part, sources, {add_path(std::move(path))});
      if (by_parameter) {
        plan_.moves.back().begin = static_cast<std::int32_t>(begin);
        plan_.moves.back().end = static_cast<std::int32_t>(end);
      }
    }
  }

  void add_totals() {
    for (std::size_t k = 0; k < plan_.kinds.size(); ++k) {
      Kind const& kind = plan_.kinds[k];
      auto const to = static_cast<std::size_t>(patterns_of_[k].second);
      for (Part const& part : destination_.patterns[to]) {
        plan_.bytes_needed +=
            wire_bytes(kind, part.box) * std::ssize(kind.parameters) *
            std::ssize(destination_.rank_sets[static_cast<std::size_t>(part.ranks)]);
      }
    }
    for (Copy const& copy : plan_.copies) {
      Kind const& kind = plan_.kinds[static_cast<std::size_t>(copy.kind)];
      plan_.bytes_local += wire_bytes(kind, copy.box) * std::ssize(kind.parameters) *
                           std::ssize(plan_.rank_sets[static_cast<std::size_t>(copy.ranks)]);
    }
    for (Move const& move : plan_.moves) {
      Kind const& kind = plan_.kinds[static_cast<std::size_t>(move.kind)];
      std::int64_t const bytes = wire_bytes(kind, move.box) * move.parameters();
      for (std::int32_t const p : move.paths) {
        Path const& path = plan_.paths[static_cast<std::size_t>(p)];
        plan_.bytes_moved += bytes * std::ssize(path.destinations);
        plan_.bytes_on_links += bytes * (std::ssize(path.receivers) + std::ssize(path.forwards));
      }
    }
  }

  BasicPlacement<T> const& source_;
  BasicPlacement<T> const& destination_;
  Options const& options_;
  BasicTopology<T> const& topology_;
  BasicPlan<T> plan_;
  rlhf::detail::late_vector<int, T> own_;  // destination module rank to source module rank, or -1
  rlhf::detail::late_vector<int, T> single_;  // destination module rank to its straight path, or -1
  rlhf::detail::late_vector<std::uint8_t, T> is_destination_;
  rlhf::detail::late_vector<std::pair<std::int32_t, std::int32_t>, T>
      patterns_of_;                                        // of every kind
  rlhf::detail::late_vector<PatternIndex<T>, T> indices_;  // of source patterns
  rlhf::detail::late_vector<std::uint8_t, T> indexed_;
  rlhf::detail::late_vector<RelayChoice<T>, T> relays_;  // one, for two stages
  Distinct<rlhf::detail::late_vector<int, T>> sets_{plan_.rank_sets};
  Distinct<Path> paths_{plan_.paths};
};

}  // namespace detail

/// The plan that gives every destination rank what it holds, from ranks that have it.
///
/// Bytes that a rank has on both sides are copied, not sent; of the rest each byte is sent to a
/// destination rank once (over more links where a rank passes it on). Every rank that builds from
/// equal arguments gets an equal plan. `topology` matters for the hierarchical and the automatic
/// route only; the automatic one also chooses a bucket of at most `bucket_bytes`.
/// Errors: incompatible_policy naming the parameter and rank where a name, shape, type or box has
/// no source, or the route cannot serve the layouts; invalid_argument where buckets are so small
/// that a rank would have more than `most_buckets` (plan/schedule_size.hpp). Cost: about the
/// distinct ways in which parameters lie on both sides, times the ranks that hold each.
template <class T>
[[nodiscard]] BasicPlan<T> build(BasicPlacement<T> const& source,
                                 BasicPlacement<T> const& destination, Options const& options,
                                 BasicTopology<T> const& topology = {}) {
  expects(options.bucket_bytes >= 256, "a bucket needs at least 256 bytes");
  expects(options.slots >= 2 && options.slots % 2 == 0,
          "staging needs an even number of slots, at least 2");
  if (options.route == Route::two_stage) {
    PairFault const fault = two_stage_fault(source.layout, destination.layout);
    if (fault != PairFault::none) {
      fail(Errc::incompatible_policy, describe(fault, source.layout, destination.layout));
    }
  }
  if (options.route != Route::automatic) {
    BasicPlan<T> made = detail::Builder<T>(source, destination, options, topology).build();
    check_buckets(made);
    return made;
  }
  // The moves do not depend on the size of buckets, so that costs a prediction each.
  constexpr std::int64_t least_bucket = std::int64_t{1} << 20;
  constexpr std::int64_t most_steps = std::int64_t{1} << 16;
  BasicPlan<T> best;
  double least = -1;
  for (Route const route : {Route::point_to_point, Route::broadcast, Route::hierarchical}) {
    Options one = options;
    one.route = route;
    if (route == Route::hierarchical && topology.is_flat()) {
      continue;
    }
    BasicPlan<T> made = detail::Builder<T>(source, destination, one, topology).build();
    auto const flows = flows_of(made);
    for (std::int64_t bucket = options.bucket_bytes;; bucket /= 2) {
      double const seconds =
          simulate(made, flows, bucket, topology, most_steps, [](auto const&, auto const&) {});
      if (least < 0 || seconds < least) {
        least = seconds;
        best = made;
        best.bucket_bytes = bucket;
      }
      if (bucket / 2 < least_bucket) {
        break;
      }
    }
  }
  check_buckets(best);
  return best;
}

/// The same for what every rank of both modules listed.
template <class T>
[[nodiscard]] BasicPlan<T> build(BasicDescription<T> const& source,
                                 BasicDescription<T> const& destination, Options const& options,
                                 BasicTopology<T> const& topology = {}) {
  return build(placement_of(source, "source"), placement_of(destination, "destination"), options,
               topology);
}

}  // namespace rlhf::inline v0::plan
