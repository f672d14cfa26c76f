/// @file
/// Conversions between float and the 16-bit storage types, the same on host and device.
/// Layer: tensor.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <bit>
#include <cstdint>
#include <cstring>

namespace rlhf::inline v0 {
namespace detail {

/// The bits of a value as another type of the same size (usable in kernels without nvcc flags).
template <class To, class From>
[[nodiscard]] RLHF_HOST_DEVICE inline To bits_as(From from) noexcept {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

}  // namespace detail

[[nodiscard]] RLHF_HOST_DEVICE inline float to_float(BFloat16 value) noexcept {
  return detail::bits_as<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

/// Rounds to nearest, ties to even; NaN stays NaN.
[[nodiscard]] RLHF_HOST_DEVICE inline BFloat16 to_bfloat16(float value) noexcept {
  std::uint32_t const bits = detail::bits_as<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) {
    return BFloat16{static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  }
  std::uint32_t const rounded = bits + 0x7fffU + ((bits >> 16) & 1U);
  return BFloat16{static_cast<std::uint16_t>(rounded >> 16)};
}

[[nodiscard]] RLHF_HOST_DEVICE inline float to_float(Float16 value) noexcept {
  std::uint32_t const sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  std::uint32_t const exponent = (value.bits >> 10) & 0x1fU;
  std::uint32_t const mantissa = value.bits & 0x3ffU;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24
    float const magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return detail::bits_as<float>(detail::bits_as<std::uint32_t>(magnitude) | sign);
  }
  std::uint32_t const wide = exponent == 31 ? 255U : exponent + 112U;
  return detail::bits_as<float>(sign | (wide << 23) | (mantissa << 13));
}

/// Rounds to nearest, ties to even; overflow becomes infinity, NaN stays NaN.
[[nodiscard]] RLHF_HOST_DEVICE inline Float16 to_float16(float value) noexcept {
  std::uint32_t const bits = detail::bits_as<std::uint32_t>(value);
  std::uint32_t const sign = (bits >> 16) & 0x8000U;
  std::uint32_t const magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) {
    return Float16{static_cast<std::uint16_t>(sign | 0x7e00U)};
  }
  if (magnitude >= 0x47800000U) {  // 2^16 and above, infinity included
    return Float16{static_cast<std::uint16_t>(sign | 0x7c00U)};
  }
  if (magnitude < 0x38800000U) {  // below 2^-14: a multiple of 2^-24
    float const scaled = detail::bits_as<float>(magnitude) * 0x1p24F + 0x1p23F;
    return Float16{
        static_cast<std::uint16_t>(sign | (detail::bits_as<std::uint32_t>(scaled) & 0x7ffU))};
  }
  std::uint32_t const rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
  return Float16{static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13))};
}

}  // namespace rlhf::inline v0
