/// @file
/// Checks that what arrived is what was sent, by fingerprints. Layer: sync.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/sync/local_side.hpp>
#include <rlhf/tensor/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0::sync {

/// Compares, for every piece of the plan, the fingerprint of the source's memory with that of each
/// destination's. Collective over the ranks of the plan; call it while the source still holds what
/// it sent.
///
/// Errors: corrupted, on the rank that holds the wrong bytes, naming parameter, elements, source
/// and destination. Cost: one read of the weights on both sides, 8 bytes a piece on the links.
template <comm::Communicator C, Packer P>
void verify(C& world, plan::Plan const& plan, LocalSide<> const& source,
            LocalSide<> const& destination, P& packer, typename C::Stream stream = {}) {
  int const me = world.rank();
  auto const wrong = [&](plan::Piece const& piece, int from) {
    fail(Errc::corrupted,
         text("weight sync: ", plan.parameters[static_cast<std::size_t>(piece.parameter)].name, " ",
              to_string(piece.box), " on destination rank ", me, " is not what source rank ", from,
              " holds"),
         me);
  };
  std::vector<std::vector<std::int64_t>> sent(plan.buckets.size());
  std::vector<std::vector<std::int64_t>> expected(plan.buckets.size());
  comm::grouped(
      world,
      [&] {
        for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
          plan::Bucket const& bucket = plan.buckets[b];
          plan::Flow const& flow = plan.flows[static_cast<std::size_t>(bucket.flow)];
          if (flow.source == me) {
            for (plan::Piece const& piece : bucket.pieces) {
              sent[b].push_back(
                  static_cast<std::int64_t>(packer.fingerprint(source.place(plan, piece))));
            }
            for (int const to : flow.destinations) {
              world.send(sent[b].data(), std::ssize(sent[b]), DType::i64, to, stream);
            }
          }
          if (rlhf::detail::contains(flow.destinations, me)) {
            expected[b].resize(bucket.pieces.size());
            world.recv(expected[b].data(), std::ssize(expected[b]), DType::i64, flow.source,
                       stream);
          }
        }
      },
      stream);
  // Everything is exchanged: from here a fault on this rank leaves no other rank waiting.
  for (plan::LocalCopy const& copy : plan.local_copies) {
    if (copy.rank == me && packer.fingerprint(source.place(plan, copy.piece)) !=
                               packer.fingerprint(destination.place(plan, copy.piece))) {
      wrong(copy.piece, me);
    }
  }
  for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
    for (std::size_t i = 0; i < expected[b].size(); ++i) {
      plan::Piece const& piece = plan.buckets[b].pieces[i];
      if (static_cast<std::int64_t>(packer.fingerprint(destination.place(plan, piece))) !=
          expected[b][i]) {
        wrong(piece, plan.flows[static_cast<std::size_t>(plan.buckets[b].flow)].source);
      }
    }
  }
}

}  // namespace rlhf::inline v0::sync
