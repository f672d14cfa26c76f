/// @file
/// Checks that what arrived is what was sent, by fingerprints. Layer: sync.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/sync/local_side.hpp>
#include <rlhf/tensor/pack.hpp>
#include <rlhf/tensor/region.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rlhf::inline v0::sync {

/// How to check that what arrived is what was sent.
enum class Verification : std::uint8_t {
  none,
  fingerprint,  ///< 64 bits a piece; one read of the weights.
  full,         ///< Every byte once more over the links: for tests.
};

namespace detail {

/// Boxes and their fingerprints.
template <class T>
struct Prints {
  rlhf::detail::late_vector<PlacedBox, T> boxes;
  rlhf::detail::late_vector<std::uint64_t, T> values;

  /// Adds pieces; returns where the first is.
  std::size_t add(LocalSide<T> const& side, plan::BasicPlan<T> const& plan,
                  rlhf::detail::late_vector<plan::Piece, T> const& pieces) {
    std::size_t const at = boxes.size();
    for (plan::Piece const& piece : pieces) {
      boxes.push_back(side.place(plan, piece));
    }
    return at;
  }
  template <Packer P>
  void take(P& packer) {
    values.resize(boxes.size());
    packer.fingerprints({boxes.data(), boxes.size()}, values.data());
  }
};

/// Ends a verification on all ranks alike. `mine` says what this rank found wrong, or nothing.
template <comm::Communicator C>
void verdict(C& world, std::string const& mine, typename C::Stream stream) {
  // The lowest rank that found something; 0 stands for none.
  std::int64_t found = mine.empty() ? 0 : world.size() - world.rank();
  world.all_reduce(&found, &found, 1, DType::i64, comm::Reduce::max, stream);
  comm::settle(world, stream);
  if (!mine.empty()) {
    fail(Errc::corrupted, mine, world.rank());
  }
  if (found != 0) {
    int const culprit = world.size() - static_cast<int>(found);
    fail(Errc::corrupted,
         text("weight sync: rank ", culprit, " holds what was not sent; its own error says what"),
         culprit);
  }
}

}  // namespace detail

/// Compares, for every piece of a rank's schedule, the fingerprint of the source's memory with that
/// of each destination's. Collective over the ranks of the plan; call it while the source still
/// holds what it sent.
///
/// Errors: corrupted, on every rank: where the wrong bytes are with parameter, elements, source and
/// destination, elsewhere with that rank. Cost: one read of the weights on both sides, 8 bytes a
/// piece on the links.
template <comm::Communicator C, Packer P, class T>
void verify(C& world, plan::BasicPlan<T> const& plan, plan::BasicSchedule<T> const& schedule,
            LocalSide<T> const& source, LocalSide<T> const& destination, P& packer,
            typename C::Stream stream = {}) {
  int const me = world.rank();
  std::string fault;
  auto const wrong = [&](plan::Piece const& piece, int from) {
    if (fault.empty()) {
      fault = text("weight sync: ", plan.parameters[static_cast<std::size_t>(piece.parameter)], " ",
                   to_string(piece.box), " on destination rank ", me, " is not what source rank ",
                   from, " holds");
    }
  };
  // All boxes in one call: a packer of device memory reads them in one pass.
  detail::Prints<T> prints;
  rlhf::detail::late_vector<std::size_t, T> sent_at(schedule.buckets.size(), 0);
  rlhf::detail::late_vector<std::size_t, T> kept_at(schedule.buckets.size(), 0);
  auto const path_of = [&](plan::Bucket const& bucket) -> plan::Path const& {
    return plan.paths[static_cast<std::size_t>(
        schedule.flows[static_cast<std::size_t>(bucket.flow)].path)];
  };
  auto const source_of = [&](plan::Bucket const& bucket) {
    return schedule.flows[static_cast<std::size_t>(bucket.flow)].source;
  };
  for (std::size_t b = 0; b < schedule.buckets.size(); ++b) {
    plan::Bucket const& bucket = schedule.buckets[b];
    if (source_of(bucket) == me) {
      sent_at[b] = prints.add(source, plan, bucket.pieces);
    }
    if (rlhf::detail::contains(path_of(bucket).destinations, me)) {
      kept_at[b] = prints.add(destination, plan, bucket.pieces);
    }
  }
  std::size_t const copies_at = prints.boxes.size();
  for (plan::LocalCopy const& copy : schedule.copies) {
    prints.boxes.push_back(source.place(plan, copy.piece));
    prints.boxes.push_back(destination.place(plan, copy.piece));
  }
  prints.take(packer);
  rlhf::detail::late_vector<std::vector<std::int64_t>, T> expected(schedule.buckets.size());
  comm::grouped(
      world,
      [&] {
        for (std::size_t b = 0; b < schedule.buckets.size(); ++b) {
          plan::Bucket const& bucket = schedule.buckets[b];
          plan::Path const& path = path_of(bucket);
          if (source_of(bucket) == me) {
            for (int const to : path.destinations) {
              world.send(prints.values.data() + sent_at[b], std::ssize(bucket.pieces), DType::i64,
                         to, stream);
            }
          }
          if (rlhf::detail::contains(path.destinations, me)) {
            expected[b].resize(bucket.pieces.size());
            world.recv(expected[b].data(), std::ssize(expected[b]), DType::i64, source_of(bucket),
                       stream);
          }
        }
      },
      stream);
  comm::settle(world, stream);
  std::size_t at = copies_at;
  for (plan::LocalCopy const& copy : schedule.copies) {
    if (prints.values[at] != prints.values[at + 1]) {
      wrong(copy.piece, me);
    }
    at += 2;
  }
  for (std::size_t b = 0; b < schedule.buckets.size(); ++b) {
    for (std::size_t i = 0; i < expected[b].size(); ++i) {
      if (static_cast<std::int64_t>(prints.values[kept_at[b] + i]) != expected[b][i]) {
        wrong(schedule.buckets[b].pieces[i], source_of(schedule.buckets[b]));
      }
    }
  }
  detail::verdict(world, fault, stream);
}

/// The fingerprint of every parameter of a plan on one side, from the pieces that this rank answers
/// for (plan/owners.hpp): the same on every rank, whatever the layout. Collective.
template <comm::Communicator C, Packer P, class T>
[[nodiscard]] rlhf::detail::late_vector<std::uint64_t, C> parameter_fingerprints(
    C& world, plan::BasicPlan<T> const& plan,
    rlhf::detail::late_vector<plan::Piece, T> const& owned, LocalSide<T> const& side, P& packer,
    typename C::Stream stream = {}) {
  rlhf::detail::late_vector<std::uint64_t, C> sums(plan.parameters.size(), 0);
  detail::Prints<T> prints;
  prints.add(side, plan, owned);
  prints.take(packer);
  for (std::size_t i = 0; i < owned.size(); ++i) {
    sums[static_cast<std::size_t>(owned[i].parameter)] += prints.values[i];
  }
  world.all_reduce(sums.data(), sums.data(), std::ssize(sums), DType::i64, comm::Reduce::sum,
                   stream);
  return sums;
}

/// Sends everything once more, bucket by bucket, converts it to the destination's types as a sync
/// does, and compares all bytes with those that the destination holds. Collective over the ranks of
/// the plan; call it while the source still holds what it sent.
///
/// Errors: corrupted, on every rank, when all is compared; where wrong bytes are it names the first
/// parameter, elements and source. Cost: a sync without overlap, and a bucket of memory, with two
/// more of what it is at the destination.
template <comm::Communicator C, Packer P, class T>
void compare(C& world, plan::BasicPlan<T> const& plan, plan::BasicSchedule<T> const& schedule,
             LocalSide<T> const& source, LocalSide<T> const& destination, P& packer,
             typename C::Stream stream = {}) {
  int const me = world.rank();
  std::string wrong;
  auto const found = [&](plan::Piece const& piece, int from) {
    if (wrong.empty()) {
      wrong = text("weight sync: ", plan.parameters[static_cast<std::size_t>(piece.parameter)], " ",
                   to_string(piece.box), " on destination rank ", me, " is not what source rank ",
                   from, " holds");
    }
  };
  auto const packed = [&](plan::Bucket const& bucket) {
    rlhf::detail::late_vector<Region, T> regions;
    for (plan::Piece const& piece : bucket.pieces) {
      regions.push_back(source.region(plan, piece));
    }
    auto bytes = packer.allocate(bucket.bytes);
    packer.pack(packer.prepare({regions.data(), regions.size()}), bytes.data(), stream);
    return bytes;
  };
  // What came, as the destination would store it, beside what it has: each piece aligned.
  auto const check = [&](plan::Bucket const& bucket, std::byte const* sent, int from) {
    constexpr std::int64_t alignment = 16;
    rlhf::detail::late_vector<Region, T> stored;
    rlhf::detail::late_vector<std::int64_t, T> at;
    std::int64_t total = 0;
    for (plan::Piece const& piece : bucket.pieces) {
      stored.push_back(destination.region(plan, piece));
      at.push_back(total);
      total = align_up(total + stored.back().bytes(), alignment);
    }
    auto wanted = packer.allocate(total);
    auto mine = packer.allocate(total);
    rlhf::detail::late_vector<Region, T> converted = stored;
    for (std::size_t i = 0; i < stored.size(); ++i) {
      converted[i].data = wanted.data() + at[i];
      converted[i].run_bytes = stored[i].bytes();
      converted[i].counts = {};
      converted[i].byte_strides = {};
      stored[i].wire = stored[i].dtype;
    }
    packer.unpack(packer.prepare({converted.data(), converted.size()}), sent, stream);
    for (std::size_t i = 0; i < stored.size(); ++i) {
      packer.pack(packer.prepare({&stored[i], 1}), mine.data() + at[i], stream);
    }
    comm::settle(world, stream);
    for (std::size_t i = 0; i < stored.size(); ++i) {
      if (!packer.equal(wanted.data() + at[i], mine.data() + at[i], stored[i].bytes())) {
        found(bucket.pieces[i], from);
      }
    }
  };
  for (plan::Bucket const& bucket : schedule.buckets) {
    plan::Flow const& flow = schedule.flows[static_cast<std::size_t>(bucket.flow)];
    plan::Path const& path = plan.paths[static_cast<std::size_t>(flow.path)];
    if (flow.source == me) {
      auto bytes = packed(bucket);
      comm::grouped(
          world,
          [&] {
            for (int const to : path.destinations) {
              world.send(bytes.data(), bucket.bytes, DType::u8, to, stream);
            }
          },
          stream);
      comm::settle(world, stream);
    } else if (rlhf::detail::contains(path.destinations, me)) {
      auto sent = packer.allocate(bucket.bytes);
      comm::grouped(
          world, [&] { world.recv(sent.data(), bucket.bytes, DType::u8, flow.source, stream); },
          stream);
      comm::settle(world, stream);
      check(bucket, sent.data(), flow.source);
    }
  }
  detail::Prints<T> prints;
  for (plan::LocalCopy const& copy : schedule.copies) {
    prints.boxes.push_back(source.place(plan, copy.piece));
    prints.boxes.push_back(destination.place(plan, copy.piece));
  }
  prints.take(packer);
  for (std::size_t i = 0; i < schedule.copies.size(); ++i) {
    if (prints.values[2 * i] != prints.values[2 * i + 1]) {
      found(schedule.copies[i].piece, me);
    }
  }
  detail::verdict(world, wrong, stream);
}

}  // namespace rlhf::inline v0::sync
