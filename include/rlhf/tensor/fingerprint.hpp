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

/// Elements that share one mix of their position, so that a group costs one multiply chain.
inline constexpr int fingerprint_group = 8;
/// What positions of neighbours in a group differ by.
inline constexpr std::uint64_t fingerprint_lane_step = 0x9e3779b97f4a7c15ULL;

/// The mix of a parameter's key and the number of a group, `global index / fingerprint_group`.
[[nodiscard]] RLHF_HOST_DEVICE constexpr std::uint64_t group_fingerprint(
    std::uint64_t key, std::uint64_t group) noexcept {
  return mix64(key + group);
}

/// What up to 32 bits of the element at place `lane` of a group add to a fingerprint: the halves of
/// a 96-bit product folded together, so that every bit meets every bit of the position.
[[nodiscard]] RLHF_HOST_DEVICE constexpr std::uint64_t lane_fingerprint(
    std::uint64_t group, std::uint32_t lane, std::uint32_t bits) noexcept {
  std::uint64_t const position = group + lane * fingerprint_lane_step;
  std::uint64_t const value = bits ^ 0x85ebca6bU;  // so that zeros count, too
  std::uint64_t const low = value * (position & 0xffffffffU);
  std::uint64_t const high = value * (position >> 32) + (low >> 32);
  return high ^ (high << 32 | (low & 0xffffffffU));
}

/// What one element of `sizeof(Word)` bytes adds.
template <class Word>
[[nodiscard]] RLHF_HOST_DEVICE constexpr std::uint64_t element_fingerprint(std::uint64_t group,
                                                                           std::uint32_t lane,
                                                                           Word bits) noexcept {
  if constexpr (sizeof(Word) == 8) {
    return lane_fingerprint(group, lane, static_cast<std::uint32_t>(bits)) +
           lane_fingerprint(group << 32 | group >> 32, lane,
                            static_cast<std::uint32_t>(bits >> 32));
  } else {
    return lane_fingerprint(group, lane, static_cast<std::uint32_t>(bits));
  }
}

namespace detail {

/// The sum over `count` elements whose global indices follow each other; `bits_of(i)` reads one.
template <class BitsOf>
[[nodiscard]] std::uint64_t row_fingerprint(std::int64_t count, std::uint64_t key,
                                            std::uint64_t index, BitsOf&& bits_of) {
  constexpr auto size = static_cast<std::uint64_t>(fingerprint_group);
  std::uint64_t sum = 0;
  std::uint64_t group = group_fingerprint(key, index / size);
  for (std::int64_t i = 0; i < count; ++i, ++index) {
    auto const lane = static_cast<std::uint32_t>(index % size);
    if (lane == 0) {
      group = group_fingerprint(key, index / size);
    }
    sum += element_fingerprint(group, lane, bits_of(i));
  }
  return sum;
}

template <class Word>
[[nodiscard]] std::uint64_t row_fingerprint_of(std::byte const* row, std::int64_t stride_bytes,
                                               std::int64_t count, std::uint64_t key,
                                               std::uint64_t index) {
  return row_fingerprint(count, key, index, [&](std::int64_t i) {
    Word word;
    std::memcpy(&word, row + i * stride_bytes, sizeof word);
    return word;
  });
}

/// The same for elements cast to another type.
template <class = void>
[[nodiscard]] std::uint64_t cast_row_fingerprint(std::byte const* row, DType from, DType to,
                                                 std::int64_t stride_bytes, std::int64_t count,
                                                 std::uint64_t key, std::uint64_t index) {
  return row_fingerprint(count, key, index, [&](std::int64_t i) {
    std::uint32_t bits = 0;
    put_float(to, &bits, as_float(from, row + i * stride_bytes));
    return bits;
  });
}

}  // namespace detail

/// Sum, modulo 2^64, of mix(key, global index, bits) over the elements of a box in host memory.
///
/// The sum does not depend on how a tensor is cut: fingerprints of disjoint boxes add up to that of
/// their union. A changed bit, two swapped unequal elements, a missing or stale box change it. It
/// finds accidents, not adversaries: a random change goes unseen with a probability near 2^-64.
/// Cost: two multiplies an element, one chain a group of eight.
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
        sum += detail::row_fingerprint_of<std::uint64_t>(at, stride, row, placed.key, from);
        break;
      case 4:
        sum += detail::row_fingerprint_of<std::uint32_t>(at, stride, row, placed.key, from);
        break;
      case 2:
        sum += detail::row_fingerprint_of<std::uint16_t>(at, stride, row, placed.key, from);
        break;
      default:
        sum += detail::row_fingerprint_of<std::uint8_t>(at, stride, row, placed.key, from);
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
