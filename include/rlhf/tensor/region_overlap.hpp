/// @file
/// Whether two regions share memory. Layer: tensor.
#pragma once

#include <rlhf/tensor/region.hpp>

#include <cstdint>

namespace rlhf::inline v0 {
namespace detail {

/// A region's runs, dimensions of the widest stride first.
struct Lattice {
  std::int64_t counts[max_rank + 1] = {};
  std::int64_t strides[max_rank + 1] = {};
  std::int64_t spans[max_rank + 1] = {};  ///< Bytes from first to last, of dimensions from here on.
  int rank = 0;
};

template <class = void>
[[nodiscard]] Lattice lattice_of(Region const& region) {
  Lattice out;
  for (int d = 0; d < region.counts.rank(); ++d) {
    int at = out.rank++;
    for (; at > 0 && out.strides[at - 1] < region.byte_strides[d]; --at) {
      out.strides[at] = out.strides[at - 1];
      out.counts[at] = out.counts[at - 1];
    }
    out.strides[at] = region.byte_strides[d];
    out.counts[at] = region.counts[d];
  }
  out.spans[out.rank] = region.run_bytes;
  for (int d = out.rank - 1; d >= 0; --d) {
    out.spans[d] = out.spans[d + 1] + (out.counts[d] - 1) * out.strides[d];
  }
  return out;
}

/// Whether `b` from dimension `db` on, which begins `offset` bytes behind the beginning of `a` from
/// `da` on, meets it.
template <class = void>
[[nodiscard]] bool meets(Lattice const& a, int da, Lattice const& b, int db, std::int64_t offset) {
  if (offset >= a.spans[da] || -offset >= b.spans[db]) {
    return false;
  }
  bool const has_a = da < a.rank;
  bool const has_b = db < b.rank;
  if (!has_a && !has_b) {
    return true;
  }
  // Steps along the wider dimension; along both at once where they are equally wide.
  bool const take_a = has_a && (!has_b || a.strides[da] >= b.strides[db]);
  bool const take_b = has_b && (!has_a || b.strides[db] >= a.strides[da]);
  std::int64_t const stride = take_a ? a.strides[da] : b.strides[db];
  int const next_a = da + (take_a ? 1 : 0);
  int const next_b = db + (take_b ? 1 : 0);
  std::int64_t least = take_a ? 1 - a.counts[da] : 0;
  std::int64_t most = take_b ? b.counts[db] - 1 : 0;
  // What is left of both can meet only if -b.span < offset + k x stride < a.span.
  std::int64_t const behind = -b.spans[next_b] - offset;
  std::int64_t const before = a.spans[next_a] - offset;
  std::int64_t const first =
      (behind >= 0 ? behind / stride : -((stride - 1 - behind) / stride)) + 1;
  std::int64_t const last = (before > 0 ? (before + stride - 1) / stride : before / stride) - 1;
  least = first > least ? first : least;
  most = last < most ? last : most;
  for (std::int64_t k = least; k <= most; ++k) {
    if (meets(a, next_a, b, next_b, offset + k * stride)) {
      return true;
    }
  }
  return false;
}

}  // namespace detail

/// Whether any byte belongs to both regions; runs between each other's runs do not count.
///
/// Strides must be positive. Cost: a few steps for regions of one tensor, whose strides are equal;
/// else at most the runs of both.
template <class = void>
[[nodiscard]] bool overlap(Region const& a, Region const& b) {
  if (a.run_bytes == 0 || b.run_bytes == 0) {
    return false;
  }
  auto const begin = [](Region const& region) {
    return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(region.data));
  };
  return detail::meets(detail::lattice_of(a), 0, detail::lattice_of(b), 0, begin(b) - begin(a));
}

/// Bytes from a region's first to its last.
template <class = void>
[[nodiscard]] std::int64_t span_bytes(Region const& region) {
  std::int64_t bytes = region.run_bytes;
  for (int d = 0; bytes != 0 && d < region.counts.rank(); ++d) {
    bytes += (region.counts[d] - 1) * region.byte_strides[d];
  }
  return bytes;
}

}  // namespace rlhf::inline v0
