/// @file
/// Element-wise reduction of several host buffers, operands in rank order. Layer: comm, private.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/tensor/convert.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace rlhf::inline v0::comm::detail {

template <class T>
[[nodiscard]] T combine(T a, T b, Reduce op) noexcept {
  switch (op) {
    case Reduce::sum:
      if constexpr (std::is_integral_v<T>) {  // wraps, as on devices
        return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
      } else {
        return static_cast<T>(a + b);
      }
    case Reduce::max:
      return a < b ? b : a;
    case Reduce::min:
      return b < a ? b : a;
  }
  return a;
}

/// How a type is computed in while reducing: 16-bit floats in float, the rest in itself.
template <class T>
struct Arithmetic {
  static T load(T value) noexcept { return value; }
  static T store(T value) noexcept { return value; }
};
template <>
struct Arithmetic<BFloat16> {
  static float load(BFloat16 value) noexcept { return to_float(value); }
  static BFloat16 store(float value) noexcept { return to_bfloat16(value); }
};
template <>
struct Arithmetic<Float16> {
  static float load(Float16 value) noexcept { return to_float(value); }
  static Float16 store(float value) noexcept { return to_float16(value); }
};

/// Elements [range) of all inputs, reduced, written to the same place of all outputs. An output may
/// be an input. The blocks keep one accumulator in the first-level cache. Inputs and outputs are
/// lists of pointers.
template <class T, class Inputs, class Outputs>
void reduce_range(Inputs const& inputs, Outputs const& outputs, IndexRange range, Reduce op) {
  using Math = Arithmetic<T>;
  constexpr std::int64_t block = 512;
  decltype(Math::load(T{})) sum[block];
  for (std::int64_t begin = range.begin; begin < range.end; begin += block) {
    std::int64_t const n = range.end - begin < block ? range.end - begin : block;
    T const* const first = static_cast<T const*>(inputs[0]) + begin;
    for (std::int64_t i = 0; i < n; ++i) {
      sum[i] = Math::load(first[i]);
    }
    for (std::size_t rank = 1; rank < inputs.size(); ++rank) {
      T const* const in = static_cast<T const*>(inputs[rank]) + begin;
      for (std::int64_t i = 0; i < n; ++i) {
        sum[i] = combine(sum[i], Math::load(in[i]), op);
      }
    }
    T stored[block];
    for (std::int64_t i = 0; i < n; ++i) {
      stored[i] = Math::store(sum[i]);
    }
    for (void* const output : outputs) {
      std::memcpy(static_cast<T*>(output) + begin, stored, static_cast<std::size_t>(n) * sizeof(T));
    }
  }
}

/// `reduce_range` for a type known at run time.
template <class Inputs, class Outputs>
void reduce_range(DType dtype, Inputs const& inputs, Outputs const& outputs, IndexRange range,
                  Reduce op) {
  switch (dtype) {
    case DType::f32:
      return reduce_range<float>(inputs, outputs, range, op);
    case DType::bf16:
      return reduce_range<BFloat16>(inputs, outputs, range, op);
    case DType::f16:
      return reduce_range<Float16>(inputs, outputs, range, op);
    case DType::f64:
      return reduce_range<double>(inputs, outputs, range, op);
    case DType::i64:
      return reduce_range<std::int64_t>(inputs, outputs, range, op);
    case DType::i32:
      return reduce_range<std::int32_t>(inputs, outputs, range, op);
    case DType::u8:
      return reduce_range<std::uint8_t>(inputs, outputs, range, op);
  }
}

}  // namespace rlhf::inline v0::comm::detail
