/// @file
/// Aligned columns of text. Layer: runtime, private.
#pragma once

#include <rlhf/core/config.hpp>

#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <vector>

namespace rlhf::inline v0::runtime::detail {

/// A number with so many digits behind the point.
template <class = void>
[[nodiscard]] std::string fixed(double value, int digits) {
  char room[352];
  int const size = std::snprintf(room, sizeof room, "%.*f", digits, value);
  return std::string(static_cast<char const*>(room), size > 0 ? static_cast<std::size_t>(size) : 0);
}

/// Rows of cells: the first column stands left, the others right.
template <class Late = void>
class Table {
  using Row = std::vector<rlhf::detail::late<std::string, Late>>;

 public:
  Table(std::initializer_list<rlhf::detail::late<std::string, Late>> head) {
    rows_.emplace_back(head);
  }
  void row(std::initializer_list<rlhf::detail::late<std::string, Late>> cells) {
    rows_.emplace_back(cells);
  }
  /// Lines that end in a line feed, the head first.
  [[nodiscard]] std::string text() const {
    std::vector<rlhf::detail::late<std::size_t, Late>> width(rows_.front().size(), 0);
    for (Row const& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i) {
        width[i] = row[i].size() > width[i] ? row[i].size() : width[i];
      }
    }
    std::string out;
    for (Row const& row : rows_) {
      out += row[0];
      std::size_t blank = width[0] - row[0].size();
      for (std::size_t i = 1; i < row.size(); ++i) {
        out.append(blank + 2 + width[i] - row[i].size(), ' ');
        out += row[i];
        blank = 0;
      }
      out += '\n';
    }
    return out;
  }

 private:
  std::vector<Row> rows_;
};

}  // namespace rlhf::inline v0::runtime::detail
