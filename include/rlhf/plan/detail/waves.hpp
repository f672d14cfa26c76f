/// @file
/// Cuts flows into buckets and orders the buckets in waves. Layer: plan, private.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/plan/bucket_fill.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan::detail {

/// Appends parts of a piece of at most `limit` bytes each, cut along its outermost dimensions.
template <class = void>
void cut_piece(Piece const& piece, std::int64_t element_bytes, std::int64_t limit,
               std::vector<Piece>& out) {
  if (piece.box.elements() * element_bytes <= limit) {
    out.push_back(piece);
    return;
  }
  int d = 0;
  while (piece.box.extent[d] == 1) {
    ++d;
  }
  std::int64_t const row_bytes = piece.box.elements() / piece.box.extent[d] * element_bytes;
  std::int64_t const rows = row_bytes < limit ? limit / row_bytes : 1;
  for (std::int64_t row = 0; row < piece.box.extent[d]; row += rows) {
    Piece part = piece;
    part.box.start[d] = piece.box.start[d] + row;
    part.box.extent[d] = rows < piece.box.extent[d] - row ? rows : piece.box.extent[d] - row;
    cut_piece(part, element_bytes, limit, out);
  }
}

/// The buckets of one flow, in order.
template <class = void>
[[nodiscard]] std::vector<Bucket> buckets_of(Plan const& plan, std::int32_t flow,
                                             std::vector<Piece> const& pieces) {
  std::vector<Piece> cut;
  std::vector<BucketItem> items;
  for (Piece const& piece : pieces) {
    DType const dtype = plan.parameters[static_cast<std::size_t>(piece.parameter)].dtype;
    cut_piece(piece, size_of(dtype), plan.bucket_bytes, cut);
    while (items.size() < cut.size()) {
      items.push_back(BucketItem{bytes_of(plan, cut[items.size()]), dtype});
    }
  }
  std::vector<Bucket> buckets;
  for (std::vector<std::int32_t> const& members :
       fill_buckets({items.data(), items.size()}, plan.bucket_bytes)) {
    Bucket bucket{flow, 0, 0, {}};
    for (std::int32_t const member : members) {
      bucket.pieces.push_back(cut[static_cast<std::size_t>(member)]);
      bucket.bytes += items[static_cast<std::size_t>(member)].bytes;
    }
    buckets.push_back(std::move(bucket));
  }
  return buckets;
}

/// Calls `visit(world rank)` for each rank that a flow's buckets pass through, once each.
template <class Visit>
void for_each_participant(Flow const& flow, Visit&& visit) {
  visit(flow.source);
  for (int const receiver : flow.receivers) {
    visit(receiver);
  }
  for (Forward const& forward : flow.forwards) {
    visit(forward.to);
  }
}

/// Gives every bucket its wave: flows take turns, and a bucket joins the first wave in which each
/// of its ranks has a free slot.
template <class = void>
[[nodiscard]] std::vector<Bucket> order_in_waves(Plan& plan,
                                                 std::vector<std::vector<Bucket>> by_flow) {
  int ranks = 0;
  for (Flow const& flow : plan.flows) {
    for_each_participant(flow, [&](int rank) { ranks = rank < ranks ? ranks : rank + 1; });
  }
  std::vector<Bucket> ordered;
  std::vector<std::size_t> next(by_flow.size(), 0);
  std::vector<std::size_t> open;  // flows with buckets left
  for (std::size_t f = 0; f < by_flow.size(); ++f) {
    if (!by_flow[f].empty()) {
      open.push_back(f);
    }
  }
  int wave = 0;
  while (!open.empty()) {
    std::vector<int> used(static_cast<std::size_t>(ranks), 0);
    bool added = true;
    while (added) {  // flows take turns until nothing fits this wave
      added = false;
      for (std::size_t const f : open) {
        Flow const& flow = plan.flows[f];
        bool fits = next[f] < by_flow[f].size();
        for_each_participant(flow, [&](int rank) {
          fits = fits && used[static_cast<std::size_t>(rank)] < plan.slots;
        });
        if (fits) {
          for_each_participant(flow, [&](int rank) { ++used[static_cast<std::size_t>(rank)]; });
          ordered.push_back(std::move(by_flow[f][next[f]++]));
          ordered.back().wave = wave;
          added = true;
        }
      }
    }
    std::erase_if(open, [&](std::size_t f) { return next[f] == by_flow[f].size(); });
    // The next wave starts with another flow, so that none waits for all others to end.
    if (!open.empty()) {
      open.push_back(open.front());
      open.erase(open.begin());
    }
    ++wave;
  }
  plan.waves = wave;
  return ordered;
}

}  // namespace rlhf::inline v0::plan::detail
