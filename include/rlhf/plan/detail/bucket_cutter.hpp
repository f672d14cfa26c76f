/// @file
/// Cuts what a flow carries into full buckets. Layer: plan, private.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/bucket.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>

namespace rlhf::inline v0::plan::detail {

/// Takes pieces in order and fills buckets of one dtype each with them.
///
/// A piece that does not fit what is left of a bucket is cut along its outermost dimension, and its
/// end begins the next one: of each dtype all buckets but the last are full to a 64th, so that
/// ranks that send to each other move alike in every turn, and there are hardly more buckets than
/// `full_buckets` says. Inside of that 64th pieces are cut where kernels can go on with accesses of
/// 16 bytes, and rows stay whole. Cost: one pass.
template <class T>
class BucketCutter {
 public:
  using Buckets = rlhf::detail::late_vector<Bucket, T>;

  /// Appends to `out`, with this flow's number.
  BucketCutter(std::int32_t flow, std::int64_t limit, Buckets& out)
      : flow_(flow),
        limit_(limit),
        out_(&out) {}

  void add(Piece piece, DType dtype) {
    std::size_t const at = open_for(dtype);
    for (;;) {
      std::int64_t const bytes = piece.box.elements() * size_of(dtype);
      std::int64_t const room = limit_ - open_[at].bucket.bytes;
      int const d = outermost(piece.box);
      bool const empty = open_[at].bucket.pieces.empty();
      if (bytes <= room || bytes == 0 || (d < 0 && empty)) {
        append(open_[at].bucket, piece, bytes);
        return;
      }
      std::int64_t const row = d < 0 ? bytes : bytes / piece.box.extent[d];
      std::int64_t const rows = d < 0 ? 0 : rows_in(room, row);
      bool const fits = rows > 0;
      bool const cuts_rows = d >= 0 && (row > limit_ || room > spare());
      if (!fits && !cuts_rows) {
        close(at);
        continue;
      }
      Piece part = piece;
      part.box.extent[d] = fits ? rows : 1;
      piece.box.start[d] += part.box.extent[d];
      piece.box.extent[d] -= part.box.extent[d];
      if (fits) {
        append(open_[at].bucket, part, rows * row);
      } else {
        add(part, dtype);
      }
    }
  }

  /// Closes what is open, by first appearance. Returns the bytes of all buckets.
  std::int64_t finish() {
    for (std::size_t at = 0; at < open_.size(); ++at) {
      if (!open_[at].bucket.pieces.empty()) {
        close(at);
      }
    }
    return bytes_;
  }

 private:
  struct Open {
    DType dtype{};
    Bucket bucket{};
  };

  /// What may stay empty.
  [[nodiscard]] std::int64_t spare() const noexcept { return limit_ / 64; }
  /// How many rows go into `room`: a multiple of 16 bytes, unless too much would stay empty.
  [[nodiscard]] std::int64_t rows_in(std::int64_t room, std::int64_t row) const noexcept {
    std::int64_t const rows = room / row;
    std::int64_t const whole = rows - rows % (16 / std::gcd(row, std::int64_t{16}));
    return room - whole * row <= spare() ? whole : rows;
  }
  /// The first dimension that can be cut, or -1.
  [[nodiscard]] static int outermost(Box const& box) {
    for (int d = 0; d < box.rank(); ++d) {
      if (box.extent[d] > 1) {
        return d;
      }
    }
    return -1;
  }
  [[nodiscard]] std::size_t open_for(DType dtype) {
    std::size_t at = 0;
    while (at < open_.size() && open_[at].dtype != dtype) {
      ++at;
    }
    if (at == open_.size()) {
      open_.push_back(Open{dtype, {}});
    }
    return at;
  }
  static void append(Bucket& bucket, Piece const& piece, std::int64_t bytes) {
    bucket.pieces.push_back(piece);
    bucket.bytes += bytes;
  }
  void close(std::size_t at) {
    Bucket& bucket = open_[at].bucket;
    bucket.flow = flow_;
    bucket.round = round_++;
    bytes_ += bucket.bytes;
    out_->push_back(std::move(bucket));
    bucket = Bucket{};
  }

  std::int32_t flow_;
  std::int64_t limit_;
  Buckets* out_;
  rlhf::detail::late_vector<Open, T> open_;  // one a dtype, by first appearance
  std::int32_t round_ = 0;
  std::int64_t bytes_ = 0;
};

}  // namespace rlhf::inline v0::plan::detail
