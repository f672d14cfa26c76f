/// @file
/// A tensor somebody else owns: pointer, type, extents, strides, device. Layer: tensor.
#pragma once

#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/shape.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace rlhf::inline v0 {

/// Which memory a pointer refers to.
struct Device {
  enum class Kind : std::uint8_t { host = 0, cuda = 1 };
  Kind kind = Kind::host;
  std::int16_t index = 0;

  constexpr bool operator==(Device const&) const noexcept = default;
};

/// Non-owning view of a tensor. Strides count elements. Copying it copies no data.
///
/// Thread safety: as the memory it refers to. The owner must outlive it.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  Device device{};
  Shape shape{};
  Extents strides{};

  [[nodiscard]] std::int64_t elements() const { return element_count(shape); }
  [[nodiscard]] std::int64_t bytes() const { return checked_multiply(elements(), size_of(dtype)); }
  /// Whether the elements lie row-major without gaps (dimensions of extent 1 do not matter).
  [[nodiscard]] bool contiguous() const noexcept {
    std::int64_t expected = 1;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      if (shape[d] != 1 && strides[d] != expected) {
        return false;
      }
      expected *= shape[d];
    }
    return true;
  }
};

/// Views row-major memory of `element_count(shape)` elements.
///
/// Errors: invalid_argument when an extent is negative.
template <Element T>
[[nodiscard]] TensorView view(T* data, Shape shape, Device device = {}) {
  static_assert(!std::is_const_v<T>, "a TensorView is writable; pass non-const memory");
  for (int d = 0; d < shape.rank(); ++d) {
    expects(shape[d] >= 0, "a tensor extent must not be negative");
  }
  return TensorView{data, dtype_of<T>, device, shape, row_major_strides(shape)};
}

/// Views a span as a row-major tensor. Errors: invalid_argument when the sizes differ.
template <Element T>
[[nodiscard]] TensorView view(std::span<T> data, Shape shape, Device device = {}) {
  if (element_count(shape) != static_cast<std::int64_t>(data.size())) {
    fail(Errc::invalid_argument,
         text("a tensor of shape ", to_string(shape), " has ", element_count(shape),
              " elements, the memory has ", data.size()));
  }
  return view(data.data(), shape, device);
}

/// `view(vector, {rows, columns})` for a container with `data()` and `size()`.
template <class Container>
  requires requires(Container& c) {
    std::span(c);
  } &&(!std::is_pointer_v<Container>) [[nodiscard]] TensorView
      view(Container& container, Shape shape, Device device = {}) {
    return view(std::span(container), shape, device);
  }

}  // namespace rlhf::inline v0
