/// @file
/// All moves of one sync, as plain data. Layer: plan.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/options.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/tensor/box.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace rlhf::inline v0::plan {

/// How bytes leave their source.
enum class Method : std::uint8_t {
  send,       ///< One send to each receiver.
  broadcast,  ///< One broadcast to all receivers.
};

/// A receiver that passes bytes on.
struct Forward {
  int from = 0;
  int to = 0;

  bool operator==(Forward const&) const = default;
};

/// Where bytes go once they have left their source. World ranks.
struct Path {
  Method method = Method::send;
  std::vector<int> receivers;     ///< First hop, from the source.
  std::vector<Forward> forwards;  ///< Second hop.
  std::vector<int> destinations;  ///< Ranks that keep the bytes; the others only forward.

  bool operator==(Path const&) const = default;
};

/// Parameters that lie alike on both sides, so that one list of moves serves them all.
struct Kind {
  DType source_dtype = DType::f32;
  DType destination_dtype = DType::f32;
  Shape global{};
  std::vector<std::int32_t> parameters;  ///< Ascending.

  /// What travels: the smaller of both types; the other side converts.
  [[nodiscard]] constexpr DType wire() const noexcept {
    return size_of(source_dtype) <= size_of(destination_dtype) ? source_dtype : destination_dtype;
  }
  bool operator==(Kind const&) const = default;
};

/// One box of every parameter of a kind, by several paths.
///
/// A unit is one parameter going one path. Units are numbered path by path, parameters of
/// [begin, end) in order inside; source `s` of the set sends units [first[s], first[s + 1]).
struct Move {
  std::int32_t kind = 0;
  Box box{};
  std::int32_t begin = 0;           ///< Of the kind's parameters: the first that moves so,
  std::int32_t end = 0;             ///< and the first that does not.
  std::int32_t sources = 0;         ///< Index into `rank_sets`.
  std::vector<std::int32_t> paths;  ///< Indices into `paths`.
  std::vector<std::int64_t> first;

  [[nodiscard]] constexpr std::int64_t parameters() const noexcept { return end - begin; }
  bool operator==(Move const&) const = default;
};

/// One box of every parameter of a kind that ranks have on both sides: copied, not sent.
struct Copy {
  std::int32_t kind = 0;
  Box box{};
  std::int32_t ranks = 0;  ///< Index into `rank_sets`.

  bool operator==(Copy const&) const = default;
};

/// All moves of one sync. The same on every rank, run and compiler; its size is that of the
/// distinct ways in which parameters lie, not of ranks times parameters.
///
/// What one rank does, bucket by bucket, is its `Schedule` (plan/schedule.hpp).
template <class T = void>
struct BasicPlan {
  rlhf::detail::late_vector<std::string, T> parameters;  ///< Names, as the destination lists them.
  rlhf::detail::late_vector<std::string, T>
      unused;  ///< Source parameters that the destination does not hold.
  rlhf::detail::late_vector<Kind, T> kinds;
  rlhf::detail::late_vector<Path, T> paths;
  rlhf::detail::late_vector<std::vector<int>, T>
      rank_sets;  ///< World ranks, in their module's order.
  rlhf::detail::late_vector<Move, T> moves;
  rlhf::detail::late_vector<Copy, T> copies;
  Route route = Route::point_to_point;
  std::int64_t bucket_bytes = 0;
  int slots = 0;                       ///< Buckets that a rank stages at most; even.
  int world = 0;                       ///< One more than the highest world rank.
  std::int32_t source_ranks = 0;       ///< Index into `rank_sets`: every rank of the source,
  std::int32_t destination_ranks = 0;  ///< and of the destination.
  std::int64_t bytes_needed = 0;       ///< Bytes that all destination ranks hold.
  std::int64_t bytes_local = 0;        ///< Of those, already on the same rank: copied, not sent.
  std::int64_t bytes_moved = 0;        ///< Bytes entering destination ranks that lacked them.
  std::int64_t bytes_on_links = 0;     ///< Bytes entering any rank, forwarders included.

  bool operator==(BasicPlan const&) const = default;
};
using Plan = BasicPlan<>;

/// Bytes of a box of one parameter on the links.
template <class T = void>
[[nodiscard]] std::int64_t wire_bytes(Kind const& kind, Box const& box) {
  return box.elements() * size_of(kind.wire());
}

/// The kind of every parameter.
template <class T>
[[nodiscard]] rlhf::detail::late_vector<std::int32_t, T> kinds_of(BasicPlan<T> const& plan) {
  rlhf::detail::late_vector<std::int32_t, T> kind_of(plan.parameters.size(), -1);
  for (std::size_t k = 0; k < plan.kinds.size(); ++k) {
    for (std::int32_t const p : plan.kinds[k].parameters) {
      kind_of[static_cast<std::size_t>(p)] = static_cast<std::int32_t>(k);
    }
  }
  return kind_of;
}

/// Fingerprint of one parameter's identity: name, type, global shape.
template <class T = void>
[[nodiscard]] std::uint64_t fingerprint(std::string_view name, Kind const& kind) {
  Fingerprint print;
  print.add(name)
      .add(static_cast<std::uint64_t>(kind.source_dtype))
      .add(static_cast<std::uint64_t>(kind.destination_dtype));
  detail::add(print, kind.global);
  return print.value();
}

/// Fingerprint of everything in a plan. Equal plans, and in practice only those, have equal ones.
template <class T>
[[nodiscard]] std::uint64_t fingerprint(BasicPlan<T> const& plan) {
  Fingerprint print;
  auto const number = [&print](auto value) { print.add(static_cast<std::uint64_t>(value)); };
  auto const list = [&](auto const& values) {
    number(values.size());
    for (auto const& value : values) {
      number(value);
    }
  };
  for (auto const* const names : {&plan.parameters, &plan.unused}) {
    number(names->size());
    for (auto const& name : *names) {
      print.add(name);
    }
  }
  number(plan.kinds.size());
  for (auto const& kind : plan.kinds) {
    number(kind.source_dtype);
    number(kind.destination_dtype);
    detail::add(print, kind.global);
    list(kind.parameters);
  }
  number(plan.paths.size());
  for (auto const& path : plan.paths) {
    number(path.method);
    list(path.receivers);
    list(path.destinations);
    number(path.forwards.size());
    for (auto const& forward : path.forwards) {
      number(forward.from);
      number(forward.to);
    }
  }
  number(plan.rank_sets.size());
  for (auto const& set : plan.rank_sets) {
    list(set);
  }
  number(plan.moves.size());
  for (auto const& move : plan.moves) {
    number(move.kind);
    detail::add(print, move.box);
    number(move.begin);
    number(move.end);
    number(move.sources);
    list(move.paths);
    list(move.first);
  }
  number(plan.copies.size());
  for (auto const& copy : plan.copies) {
    number(copy.kind);
    detail::add(print, copy.box);
    number(copy.ranks);
  }
  number(plan.route);
  number(plan.bucket_bytes);
  number(plan.slots);
  number(plan.world);
  number(plan.source_ranks);
  number(plan.destination_ranks);
  return print.value();
}

}  // namespace rlhf::inline v0::plan
