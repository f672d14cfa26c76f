/// @file
/// Element types of tensors. Layer: tensor.
#pragma once

#include <rlhf/core/config.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace rlhf::inline v0 {

/// Type of a tensor's elements. The values are stable: they are stored in plans and files.
enum class DType : std::uint8_t { f32 = 0, bf16 = 1, f16 = 2, f64 = 3, i64 = 4, i32 = 5, u8 = 6 };

/// Bytes of one element.
[[nodiscard]] RLHF_HOST_DEVICE constexpr std::int64_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

/// `f32`, `bf16`, ...
[[nodiscard]] constexpr std::string_view to_string(DType dtype) noexcept {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
    case DType::f64:
      return "f64";
    case DType::i64:
      return "i64";
    case DType::i32:
      return "i32";
    case DType::u8:
      return "u8";
  }
  return "?";
}

/// bfloat16 as storage: the upper half of a float's bits. Arithmetic belongs to the user's kernels.
struct BFloat16 {
  std::uint16_t bits = 0;
  constexpr bool operator==(BFloat16 const&) const noexcept = default;
};

/// IEEE half precision as storage.
struct Float16 {
  std::uint16_t bits = 0;
  constexpr bool operator==(Float16 const&) const noexcept = default;
};

/// Maps a C++ element type to its DType. Specialise for your own 16-bit types:
/// `template <> struct rlhf::DTypeOf<__nv_bfloat16> { static constexpr DType value = DType::bf16;
/// };`
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<Float16> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<long long> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<std::byte> {
  static constexpr DType value = DType::u8;
};

/// The DType of a C++ element type; ill-formed for types that have none.
template <class T>
inline constexpr DType dtype_of = DTypeOf<std::remove_cv_t<T>>::value;

/// A C++ type that tensors can hold.
template <class T>
concept Element = requires {
  DTypeOf<std::remove_cv_t<T>>::value;
};

}  // namespace rlhf::inline v0
