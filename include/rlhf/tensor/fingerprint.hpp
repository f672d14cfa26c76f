/// @file
/// Fingerprint of tensor elements by global position: shards of any layout add up. Layer: tensor.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/tensor/box.hpp>
#include <rlhf/tensor/cast.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace rlhf::inline v0 {

/// A box of a global tensor and where this rank holds it.
struct PlacedBox {
  TensorView local{};
  Extents local_start{};
  Box box{};
  Shape global{};
  std::uint64_t key = 0;  ///< Tells parameters apart: the fingerprint of name, type and shape.
  bool cast = false;      ///< Whether to take the elements' bits as they are after a cast,
  DType as = DType::u8;   ///< to this type.
};

/// What one element adds to a fingerprint.
[[nodiscard]] RLHF_HOST_DEVICE constexpr std::uint64_t element_fingerprint(
    std::uint64_t key, std::uint64_t global_index, std::uint64_t bits) noexcept {
  return mix64(mix64(key + global_index) + bits);
}

namespace detail {

template <class Word>
[[nodiscard]] std::uint64_t row_fingerprint(std::byte const* row, std::int64_t stride_bytes,
                                            std::int64_t count, std::uint64_t key,
                                            std::uint64_t index) noexcept {
  std::uint64_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, row + i * stride_bytes, sizeof word);
    sum += element_fingerprint(key, index + static_cast<std::uint64_t>(i), word);
  }
  return sum;
}

/// The same for elements cast to another type.
[[nodiscard]] inline std::uint64_t cast_row_fingerprint(std::byte const* row, DType from, DType to,
                                                        std::int64_t stride_bytes,
                                                        std::int64_t count, std::uint64_t key,
                                                        std::uint64_t index) noexcept {
  std::uint64_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t bits = 0;
    put_float(to, &bits, as_float(from, row + i * stride_bytes));
    sum += element_fingerprint(key, index + static_cast<std::uint64_t>(i), bits);
  }
  return sum;
}

}  // namespace detail

/// Sum, modulo 2^64, of mix(key, global index, bits) over the elements of a box in host memory.
///
/// The sum does not depend on how a tensor is cut: fingerprints of disjoint boxes add up to that of
/// their union. A changed bit, two swapped unequal elements, a missing or stale box change it (a
/// change goes unseen with probability 2^-64). Cost: two multiply chains an element.
template <class = void>
[[nodiscard]] std::uint64_t fingerprint(PlacedBox const& placed) {
  if (placed.box.empty()) {
    return 0;
  }
  std::int64_t const element = size_of(placed.local.dtype);
  Extents const global_strides = row_major_strides(placed.global);
  int const last = placed.box.rank() - 1;
  std::int64_t const row = last < 0 ? 1 : placed.box.extent[last];
  std::int64_t const stride = last < 0 ? element : placed.local.strides[last] * element;
  Extents index = Extents::filled(placed.box.rank(), 0);
  std::uint64_t sum = 0;
  for (;;) {
    std::int64_t local = 0;
    std::int64_t global = 0;
    for (int d = 0; d <= last; ++d) {
      local += (placed.local_start[d] + index[d]) * placed.local.strides[d];
      global += (placed.box.start[d] + index[d]) * global_strides[d];
    }
    auto const* const at = static_cast<std::byte const*>(placed.local.data) + local * element;
    auto const from = static_cast<std::uint64_t>(global);
    switch (placed.cast ? 0 : element) {
      case 0:
        sum += detail::cast_row_fingerprint(at, placed.local.dtype, placed.as, stride, row,
                                            placed.key, from);
        break;
      case 8:
        sum += detail::row_fingerprint<std::uint64_t>(at, stride, row, placed.key, from);
        break;
      case 4:
        sum += detail::row_fingerprint<std::uint32_t>(at, stride, row, placed.key, from);
        break;
      case 2:
        sum += detail::row_fingerprint<std::uint16_t>(at, stride, row, placed.key, from);
        break;
      default:
        sum += detail::row_fingerprint<std::uint8_t>(at, stride, row, placed.key, from);
    }
    int d = last - 1;
    for (; d >= 0; --d) {
      if (++index[d] < placed.box.extent[d]) {
        break;
      }
      index[d] = 0;
    }
    if (d < 0) {
      return sum;
    }
  }
}

}  // namespace rlhf::inline v0
