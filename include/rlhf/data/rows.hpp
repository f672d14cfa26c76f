/// @file
/// Rows of different lengths in one piece of memory. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// A list of rows of T: token ids, masks, log probabilities, or hidden states of `inner` values a
/// position. Nothing is padded; `pad` and `pack` make rectangles of it.
///
/// `values()` holds row after row, `begins()` where they begin, counted in positions, with the
/// total at its end: what attention kernels call cumulative lengths.
/// Thread safety: reading from any number of threads.
template <class T>
class Rows {
 public:
  using Value = T;

  Rows() = default;
  /// Errors: invalid_argument for inner < 1.
  explicit Rows(std::int64_t inner) : inner_(inner) {
    expects(inner >= 1, "the values of a position must be 1 or more");
  }

  /// Number of rows.
  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(begins_.size()) - 1;
  }
  /// Values of a position, 1 unless told otherwise.
  [[nodiscard]] std::int64_t inner() const noexcept { return inner_; }
  /// Positions of a row, and of all rows.
  [[nodiscard]] std::int64_t length(std::int64_t row) const noexcept {
    return begins_[static_cast<std::size_t>(row) + 1] - begins_[static_cast<std::size_t>(row)];
  }
  [[nodiscard]] std::int64_t positions() const noexcept { return begins_.back(); }
  [[nodiscard]] std::vector<std::int64_t> lengths() const {
    std::vector<std::int64_t> out;
    out.reserve(static_cast<std::size_t>(size()));
    for (std::int64_t row = 0; row < size(); ++row) {
      out.push_back(length(row));
    }
    return out;
  }
  /// The values of a row; shape (length(row), inner).
  [[nodiscard]] std::span<T const> operator[](std::int64_t row) const noexcept {
    return {values_.data() + begins_[static_cast<std::size_t>(row)] * inner_,
            static_cast<std::size_t>(length(row) * inner_)};
  }
  [[nodiscard]] std::span<T> operator[](std::int64_t row) noexcept {
    return {values_.data() + begins_[static_cast<std::size_t>(row)] * inner_,
            static_cast<std::size_t>(length(row) * inner_)};
  }
  [[nodiscard]] std::vector<T> const& values() const noexcept { return values_; }
  [[nodiscard]] std::vector<std::int64_t> const& begins() const noexcept { return begins_; }

  /// Adds a row. Errors: invalid_argument unless its values are whole positions.
  void push_back(std::span<T const> row) {
    if (inner_ != 1 && static_cast<std::int64_t>(row.size()) % inner_ != 0) {
      fail(Errc::invalid_argument, text("a row of ", row.size(), " values has no whole positions ",
                                        "of ", inner_, " values each"));
    }
    values_.insert(values_.end(), row.begin(), row.end());
    begins_.push_back(begins_.back() + static_cast<std::int64_t>(row.size()) / inner_);
  }
  /// Removes all rows and keeps their memory.
  void clear() noexcept {
    values_.clear();
    begins_.resize(1);
  }
  /// Takes over values and begins, as another `Rows` had them.
  ///
  /// Errors: invalid_argument unless begins go up from 0 to the number of positions.
  void assign(std::vector<T> values, std::vector<std::int64_t> begins) {
    bool right = !begins.empty() && begins.front() == 0 &&
                 static_cast<std::int64_t>(values.size()) % inner_ == 0 &&
                 begins.back() == static_cast<std::int64_t>(values.size()) / inner_;
    for (std::size_t i = 1; i < begins.size(); ++i) {
      right = right && begins[i - 1] <= begins[i];
    }
    expects(right, "the begins of rows must go up from 0 to the number of positions");
    values_ = std::move(values);
    begins_ = std::move(begins);
  }

  bool operator==(Rows const&) const = default;

 private:
  std::vector<T> values_;
  std::vector<std::int64_t> begins_{0};
  std::int64_t inner_ = 1;
};

}  // namespace rlhf::inline v0::data
