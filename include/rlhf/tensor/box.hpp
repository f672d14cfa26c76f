/// @file
/// Rectangles of index space: what a rank holds of a tensor. Layer: tensor.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/tensor/shape.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace rlhf::inline v0 {

/// The elements whose index in dimension d lies in [start[d], start[d] + extent[d]), for all d.
struct Box {
  Extents start{};
  Extents extent{};

  /// The box of a whole tensor.
  [[nodiscard]] static constexpr Box whole(Shape const& shape) {
    return Box{Extents::filled(shape.rank(), 0), shape};
  }
  [[nodiscard]] constexpr int rank() const noexcept { return extent.rank(); }
  [[nodiscard]] constexpr std::int64_t end(int d) const noexcept { return start[d] + extent[d]; }
  [[nodiscard]] constexpr std::int64_t elements() const { return element_count(extent); }
  [[nodiscard]] constexpr bool empty() const noexcept {
    for (int d = 0; d < rank(); ++d) {
      if (extent[d] <= 0) {
        return true;
      }
    }
    return false;
  }
  [[nodiscard]] constexpr bool contains(Box const& other) const noexcept {
    for (int d = 0; d < rank(); ++d) {
      if (other.start[d] < start[d] || other.end(d) > end(d)) {
        return false;
      }
    }
    return true;
  }
  constexpr bool operator==(Box const&) const noexcept = default;
};

/// What two boxes of the same rank share; empty() where they share nothing.
[[nodiscard]] constexpr Box intersection(Box const& a, Box const& b) noexcept {
  Box out = a;
  for (int d = 0; d < a.rank(); ++d) {
    std::int64_t const begin = a.start[d] > b.start[d] ? a.start[d] : b.start[d];
    std::int64_t const end = a.end(d) < b.end(d) ? a.end(d) : b.end(d);
    out.start[d] = begin;
    out.extent[d] = end > begin ? end - begin : 0;
  }
  return out;
}

/// Appends to `out` disjoint boxes that hold what `a` has and `b` has not (at most 2 a dimension).
template <class Late = void>
void subtract(Box const& a, Box const& b, std::vector<detail::late<Box, Late>>& out) {
  Box const shared = intersection(a, b);
  if (shared.empty()) {
    if (!a.empty()) {
      out.push_back(a);
    }
    return;
  }
  Box rest = a;
  for (int d = 0; d < a.rank(); ++d) {
    if (rest.start[d] < shared.start[d]) {
      Box before = rest;
      before.extent[d] = shared.start[d] - rest.start[d];
      out.push_back(before);
    }
    if (rest.end(d) > shared.end(d)) {
      Box after = rest;
      after.start[d] = shared.end(d);
      after.extent[d] = rest.end(d) - shared.end(d);
      out.push_back(after);
    }
    rest.start[d] = shared.start[d];
    rest.extent[d] = shared.extent[d];
  }
}

/// `[0:128, 64:128]`.
template <class = void>
[[nodiscard]] std::string to_string(Box const& box) {
  std::string out = "[";
  for (int d = 0; d < box.rank(); ++d) {
    out += text(d == 0 ? "" : ", ", box.start[d], ":", box.end(d));
  }
  return out + "]";
}

}  // namespace rlhf::inline v0
