/// @file
/// Pads the columns of a batch, each as its name asks for. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/columns.hpp>
#include <rlhf/data/padding.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace rlhf::inline v0::data {

/// How the column of a name is padded.
struct ColumnPadding {
  std::string name;
  double value = 0;
  PadSide side = PadSide::right;
  std::int64_t multiple_of = 1;
};

namespace detail {

template <class T>
inline constexpr bool is_rows = false;
template <class T>
inline constexpr bool is_rows<Rows<T>> = true;

[[noreturn]] inline void no_such_value(double value, std::string_view name) {
  fail(Errc::invalid_argument,
       text("the column ", name, " cannot be padded with ", value, "; its type lacks it"));
}

/// The value as a column's type holds it: integers exactly, others rounded, but not to infinity.
template <class T>
[[nodiscard]] T value_as(double value, std::string_view name) {
  if constexpr (std::is_integral_v<T>) {
    constexpr double limit = static_cast<double>((std::numeric_limits<T>::max)() / 2 + 1) * 2;
    constexpr double least = static_cast<double>(std::numeric_limits<T>::lowest());
    if (!(value >= least && value < limit) || static_cast<double>(static_cast<T>(value)) != value) {
      no_such_value(value, name);
    }
  } else if constexpr (std::is_floating_point_v<T>) {
    constexpr double most = static_cast<double>((std::numeric_limits<T>::max)());
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if ((value > most && value != infinity) || (value < -most && value != -infinity)) {
      no_such_value(value, name);
    }
  }
  return static_cast<T>(value);
}

}  // namespace detail

/// Calls `visit(name, Padded<T> const&)` for each column of rows, and `visit(name, column)` for
/// each vector.
///
/// The last entry of `paddings` for a name counts; columns without one get zeros on the right. So
/// lists that several models bring can be put one behind the other, as in the Python reference.
/// Cost: a padded copy of the columns of rows.
/// Errors: invalid_argument for a name that is no column of rows, or a value that the column's type
/// cannot hold.
template <ColumnBatch B, class Visit>
void pad_columns(B const& batch, std::span<ColumnPadding const> paddings, Visit&& visit) {
  std::vector<bool> used(paddings.size(), false);
  for_each_column(batch, [&](std::string_view name, auto const& column) {
    using Column = std::remove_cvref_t<decltype(column)>;
    if constexpr (detail::is_rows<Column>) {
      using T = typename Column::Value;
      Padding<T> padding{};
      for (std::size_t i = 0; i < paddings.size(); ++i) {
        if (paddings[i].name == name) {
          used[i] = true;
          padding = Padding<T>{detail::value_as<T>(paddings[i].value, name), paddings[i].side,
                               paddings[i].multiple_of, 0};
        }
      }
      visit(name, pad(column, padding));
    } else {
      visit(name, column);
    }
  });
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) {
      fail(Errc::invalid_argument,
           text("there is a padding for ", std::string_view(paddings[i].name),
                ", which is no column of rows of the batch"));
    }
  }
}

}  // namespace rlhf::inline v0::data
