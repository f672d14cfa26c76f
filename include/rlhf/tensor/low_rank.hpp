/// @file
/// A weight plus a product of low rank: W += scale * B A. Layer: tensor.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/tensor/cast.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0 {

/// The two factors of an adapter of low rank ("right" and "left" in the reference).
///
/// Shapes: for a weight (..., out, in): `a` (..., dim, in), `b` (..., out, dim); leading dimensions
/// (grouped experts) are those of the weight.
struct Adapter {
  TensorView a;
  TensorView b;
};

namespace detail {

[[nodiscard]] constexpr bool is_float_type(DType dtype) noexcept {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

/// Calls `row(pointer to its first element)` for each row of a view, the first rows first.
template <class Row>
void for_each_row(TensorView const& view, Row&& row) {
  int const last = view.shape.rank() - 1;
  if (view.elements() == 0) {
    return;
  }
  Extents at = Extents::filled(last, 0);
  for (;;) {
    std::int64_t offset = 0;
    for (int d = 0; d < last; ++d) {
      offset += at[d] * view.strides[d];
    }
    row(static_cast<std::byte*>(view.data) + offset * size_of(view.dtype));
    int d = last - 1;
    while (d >= 0 && ++at[d] == view.shape[d]) {
      at[d--] = 0;
    }
    if (d < 0) {
      return;
    }
  }
}

/// The view of one of the matrices of a view of more dimensions.
template <class = void>
[[nodiscard]] TensorView matrix_of(TensorView const& view, std::int64_t index) {
  int const rank = view.shape.rank();
  std::int64_t offset = 0;
  for (int d = rank - 3; d >= 0; --d) {
    offset += index % view.shape[d] * view.strides[d];
    index /= view.shape[d];
  }
  TensorView out = view;
  out.data = static_cast<std::byte*>(view.data) + offset * size_of(view.dtype);
  out.shape = {view.shape[rank - 2], view.shape[rank - 1]};
  out.strides = {view.strides[rank - 2], view.strides[rank - 1]};
  return out;
}

}  // namespace detail

/// Errors: invalid_argument naming the weight where factors do not fit it, the rows of one of the
/// three have gaps, or a type is none of f32, bf16 and f16.
template <class = void>
void expect_adapter(std::string_view name, TensorView const& weight, Adapter const& adapter) {
  int const rank = weight.shape.rank();
  bool fits = rank >= 2 && adapter.a.shape.rank() == rank && adapter.b.shape.rank() == rank;
  for (int d = 0; fits && d < rank - 2; ++d) {
    fits = adapter.a.shape[d] == weight.shape[d] && adapter.b.shape[d] == weight.shape[d];
  }
  fits = fits && adapter.a.shape[rank - 1] == weight.shape[rank - 1] &&
         adapter.b.shape[rank - 2] == weight.shape[rank - 2] &&
         adapter.a.shape[rank - 2] == adapter.b.shape[rank - 1];
  if (!fits) {
    fail(Errc::invalid_argument,
         text("adapter of ", name, ": a weight of shape ", to_string(weight.shape),
              " takes A (..., dim, in) and B (..., out, dim), not ", to_string(adapter.a.shape),
              " and ", to_string(adapter.b.shape)));
  }
  for (TensorView const* view : {&weight, &adapter.a, &adapter.b}) {
    if (!detail::is_float_type(view->dtype)) {
      fail(Errc::invalid_argument, text("adapter of ", name, ": elements are ",
                                        to_string(view->dtype), "; use f32, bf16 or f16"));
    }
    if (view->shape[rank - 1] > 1 && view->strides[rank - 1] != 1) {
      fail(Errc::invalid_argument, text("adapter of ", name, ": the elements of a row lie ",
                                        view->strides[rank - 1], " apart; rows must have no gaps"));
    }
    if (view->data == nullptr && view->elements() != 0) {
      fail(Errc::invalid_argument,
           text("adapter of ", name, ": a tensor of shape ", to_string(view->shape),
                " has no memory (a null pointer); is it offloaded?"));
    }
  }
}

/// weight += scale * B A in host memory. Sums are of f32, in the order of the low rank, rounded to
/// the weight's type once: an element does not depend on how the weight is cut.
///
/// Requires `expect_adapter`. Cost: 2 * dim operations an element; A as f32 on the side.
template <class = void>
void add_low_rank(TensorView const& weight, Adapter const& adapter, float scale) {
  if (weight.elements() == 0) {
    return;
  }
  int const rank = weight.shape.rank();
  std::int64_t const rows = weight.shape[rank - 2];
  std::int64_t const columns = weight.shape[rank - 1];
  std::int64_t const dim = adapter.a.shape[rank - 2];
  std::vector<float> a(static_cast<std::size_t>(dim * columns));
  std::vector<float> sums(static_cast<std::size_t>(columns));
  std::int64_t const matrices = weight.elements() / (rows * columns);
  for (std::int64_t m = 0; m < matrices; ++m) {
    float* to = a.data();
    detail::for_each_row(detail::matrix_of(adapter.a, m), [&](std::byte const* row) {
      cast_elements(adapter.a.dtype, row, DType::f32, reinterpret_cast<std::byte*>(to), columns);
      to += columns;
    });
    TensorView const w = detail::matrix_of(weight, m);
    TensorView const b = detail::matrix_of(adapter.b, m);
    for (std::int64_t r = 0; r < rows; ++r) {
      sums.assign(sums.size(), 0.0F);
      for (std::int64_t k = 0; k < dim; ++k) {
        float const factor =
            detail::as_float(b.dtype, static_cast<std::byte const*>(b.data) +
                                          (r * b.strides[0] + k * b.strides[1]) * size_of(b.dtype));
        float const* const row = a.data() + k * columns;
        for (std::int64_t c = 0; c < columns; ++c) {
          sums[static_cast<std::size_t>(c)] += factor * row[c];
        }
      }
      std::byte* const row = static_cast<std::byte*>(w.data) + r * w.strides[0] * size_of(w.dtype);
      for (std::int64_t c = 0; c < columns; ++c) {
        std::byte* const element = row + c * size_of(w.dtype);
        detail::put_float(
            w.dtype, element,
            detail::as_float(w.dtype, element) + scale * sums[static_cast<std::size_t>(c)]);
      }
    }
  }
}

}  // namespace rlhf::inline v0
