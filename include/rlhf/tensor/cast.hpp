/// @file
/// Elements of one type as another. Layer: tensor.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/tensor/convert.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace rlhf::inline v0 {
namespace detail {

[[nodiscard]] RLHF_HOST_DEVICE inline float as_float(DType dtype, void const* element) noexcept {
  if (dtype == DType::bf16) {
    BFloat16 value;
    memcpy(&value, element, sizeof value);
    return to_float(value);
  }
  if (dtype == DType::f16) {
    Float16 value;
    memcpy(&value, element, sizeof value);
    return to_float(value);
  }
  float value = 0;
  memcpy(&value, element, sizeof value);
  return value;
}

RLHF_HOST_DEVICE inline void put_float(DType dtype, void* element, float value) noexcept {
  if (dtype == DType::bf16) {
    BFloat16 const rounded = to_bfloat16(value);
    memcpy(element, &rounded, sizeof rounded);
  } else if (dtype == DType::f16) {
    Float16 const rounded = to_float16(value);
    memcpy(element, &rounded, sizeof rounded);
  } else {
    memcpy(element, &value, sizeof value);
  }
}

}  // namespace detail

/// Writes `count` elements of type `from` as type `to`, both of f32, bf16 and f16, rounding to
/// nearest, ties to even. Memory must not overlap.
inline void cast_elements(DType from, std::byte const* in, DType to, std::byte* out,
                          std::int64_t count) noexcept {
  std::int64_t const read = size_of(from);
  std::int64_t const write = size_of(to);
  for (std::int64_t i = 0; i < count; ++i) {
    detail::put_float(to, out + i * write, detail::as_float(from, in + i * read));
  }
}

}  // namespace rlhf::inline v0
