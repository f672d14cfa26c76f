/// @file
/// How boxes come from source ranks to destination ranks: the paths and moves of a plan. Layer:
/// plan, private.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/cost.hpp>
#include <rlhf/plan/detail/choose.hpp>
#include <rlhf/plan/options.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/relay.hpp>
#include <rlhf/plan/topology.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan::detail {

/// Adds moves, paths and rank sets to a plan.
template <class T>
class Routes {
 public:
  Routes(BasicPlacement<T> const& source, BasicPlacement<T> const& destination,
         Options const& options, BasicTopology<T> const& topology, BasicPlan<T>& plan)
      : source_(source),
        destination_(destination),
        options_(options),
        topology_(topology),
        plan_(plan),
        single_(destination.world_ranks.size(), -1) {
    if (options.route == Route::two_stage) {
      relays_.push_back(RelayChoice<T>(source.layout, destination.layout));
    }
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

 private:
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
    auto const world = [&, this](int rank) {
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

  BasicPlacement<T> const& source_;
  BasicPlacement<T> const& destination_;
  Options const& options_;
  BasicTopology<T> const& topology_;
  BasicPlan<T>& plan_;
  rlhf::detail::late_vector<int, T> single_;  // destination module rank to its straight path, or -1
  rlhf::detail::late_vector<RelayChoice<T>, T> relays_;  // one, for two stages
  Distinct<rlhf::detail::late_vector<int, T>> sets_{plan_.rank_sets};
  Distinct<Path> paths_{plan_.paths};
};

}  // namespace rlhf::inline v0::plan::detail
