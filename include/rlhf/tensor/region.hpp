/// @file
/// A box of a tensor as memory: base address, extents, byte strides. Layer: tensor.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/tensor/box.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>

namespace rlhf::inline v0 {

/// Runs of bytes at regular distances. Dimensions that follow each other in memory are merged, so
/// the innermost run (`run_bytes`) is as long as it can be. In row-major order of the box.
struct Region {
  std::byte* data = nullptr;
  std::int64_t run_bytes = 0;  ///< Contiguous bytes of one run.
  Extents counts{};            ///< Runs along each outer dimension, outermost first.
  Extents byte_strides{};      ///< Distance of neighbours along each outer dimension.
  DType dtype = DType::u8;     ///< What lies here.
  DType wire = DType::u8;      ///< What it is packed to and unpacked from; converted if it differs.

  [[nodiscard]] std::int64_t bytes() const { return run_bytes * element_count(counts); }
  [[nodiscard]] bool contiguous() const noexcept { return counts.rank() == 0; }
  [[nodiscard]] constexpr bool converts() const noexcept { return dtype != wire; }
};

/// The memory of the box at `start` of `extent` elements inside a tensor; an empty box has no runs.
///
/// Errors: invalid_argument where the box does not lie inside the tensor.
template <class = void>
[[nodiscard]] Region region_of(TensorView const& tensor, Extents const& start,
                               Extents const& extent) {
  Box const box{start, extent};
  if (start.rank() != tensor.shape.rank() || !Box::whole(tensor.shape).contains(box)) {
    fail(Errc::invalid_argument, text("box ", to_string(box), " does not lie inside a tensor of ",
                                      "shape ", to_string(tensor.shape)));
  }
  Region region;
  region.dtype = tensor.dtype;
  region.wire = tensor.dtype;
  if (box.empty()) {
    return region;  // no bytes
  }
  std::int64_t const element = size_of(tensor.dtype);
  std::int64_t offset = 0;
  for (int d = 0; d < box.rank(); ++d) {
    offset += start[d] * tensor.strides[d];
  }
  region.data = static_cast<std::byte*>(tensor.data) + offset * element;
  region.run_bytes = element;
  int d = box.rank() - 1;
  for (; d >= 0; --d) {  // merge from the inside while dimensions touch
    if (extent[d] != 1 && tensor.strides[d] * element != region.run_bytes) {
      break;
    }
    region.run_bytes *= extent[d];
  }
  for (int outer = 0; outer <= d; ++outer) {
    if (extent[outer] == 1) {
      continue;
    }
    region.counts.push_back(extent[outer]);
    region.byte_strides.push_back(tensor.strides[outer] * element);
  }
  return region;
}

/// Calls `visit(run begin)` for each run of a region, in row-major order.
template <class Visit>
void for_each_run(Region const& region, Visit&& visit) {
  int const rank = region.counts.rank();
  if (rank == 0) {
    if (region.run_bytes != 0) {
      visit(region.data);
    }
    return;
  }
  Extents index = Extents::filled(rank, 0);
  std::byte* run = region.data;
  for (;;) {
    visit(run);
    int d = rank - 1;
    for (; d >= 0; --d) {
      run += region.byte_strides[d];
      if (++index[d] < region.counts[d]) {
        break;
      }
      run -= region.byte_strides[d] * region.counts[d];
      index[d] = 0;
    }
    if (d < 0) {
      return;
    }
  }
}

}  // namespace rlhf::inline v0
