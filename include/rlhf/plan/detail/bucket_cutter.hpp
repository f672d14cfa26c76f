/// @file
/// Cuts what a flow carries into full buckets. Layer: plan, private.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/bucket.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace rlhf::inline v0::plan::detail {

/// Takes pieces in order and fills buckets of one dtype each with them.
///
/// A piece that does not fit what is left of a bucket is cut along its outermost dimension, and its
/// end begins the next one, so that buckets are full to less than a row of a parameter: ranks that
/// send to each other move alike in every turn, and there are as many buckets as
/// `full_buckets` says, but for other dtypes. Rows are cut only where they would leave more than an
/// eighth of a bucket empty. Cost: one pass.
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
      if (bytes <= room || (d < 0 && empty)) {
        append(open_[at].bucket, piece, bytes);
        return;
      }
      std::int64_t const row = d < 0 ? bytes : bytes / piece.box.extent[d];
      bool const fits = d >= 0 && row <= room;
      bool const cuts_rows = d >= 0 && (row > limit_ || room > limit_ / 8);
      if (!fits && !cuts_rows) {
        close(at);
        continue;
      }
      std::int64_t const rows = fits ? room / row : 1;
      Piece part = piece;
      part.box.extent[d] = rows;
      piece.box.start[d] += rows;
      piece.box.extent[d] -= rows;
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
