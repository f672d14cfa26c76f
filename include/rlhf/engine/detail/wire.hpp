/// @file
/// Rows of column batches as bytes. Layer: engine, private.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/columns.hpp>
#include <rlhf/data/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace rlhf::inline v0::engine::detail {

using Bytes = std::vector<std::byte>;

inline void put(Bytes& out, void const* data, std::size_t bytes) {
  std::size_t const at = out.size();
  out.resize(at + bytes);
  if (bytes != 0) {
    std::memcpy(out.data() + at, data, bytes);
  }
}
inline void put_number(Bytes& out, std::int64_t value) {
  put(out, &value, sizeof value);
}

/// Reads what `put` wrote. Errors: corrupted where there is less.
class Taker {
 public:
  explicit Taker(std::span<std::byte const> bytes) noexcept : bytes_(bytes) {}

  std::byte const* take(std::size_t count) {
    if (count > bytes_.size() - at_) {
      fail(Errc::corrupted, text("rows of a rollout end after ", bytes_.size(), " bytes, ",
                                 at_ + count, " were expected; do all ranks run one program?"));
    }
    std::byte const* const found = bytes_.data() + at_;
    at_ += count;
    return found;
  }
  [[nodiscard]] std::int64_t number() {
    std::int64_t value = 0;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  [[nodiscard]] std::size_t size() {
    std::int64_t const value = number();
    expects(value >= 0, "rows of a rollout have a negative length; do all ranks run one program?");
    return static_cast<std::size_t>(value);
  }
  void expect_end() const {
    expects(at_ == bytes_.size(),
            "rows of a rollout are longer than their columns; do all ranks "
            "run one program?");
  }

 private:
  std::span<std::byte const> bytes_;
  std::size_t at_ = 0;
};

template <class T>
void put_rows(Bytes& out, std::vector<T> const& column, std::span<std::int64_t const> rows) {
  static_assert(std::is_trivially_copyable_v<T> && !std::is_same_v<T, bool>,
                "[rlhf:engine.columns] a value that passes between stages must list columns of "
                "plain values (std::uint8_t for truth values), strings, or data::Rows of plain "
                "values; see data/columns.hpp");
  for (std::int64_t const row : rows) {
    put(out, &column[static_cast<std::size_t>(row)], sizeof(T));
  }
}
inline void put_rows(Bytes& out, std::vector<std::string> const& column,
                     std::span<std::int64_t const> rows) {
  for (std::int64_t const row : rows) {
    std::string const& words = column[static_cast<std::size_t>(row)];
    put_number(out, static_cast<std::int64_t>(words.size()));
    put(out, words.data(), words.size());
  }
}
template <class T>
void put_rows(Bytes& out, data::Rows<T> const& column, std::span<std::int64_t const> rows) {
  put_number(out, column.inner());
  for (std::int64_t const row : rows) {
    std::span<T const> const values = column[row];
    put_number(out, static_cast<std::int64_t>(values.size()));
    put(out, values.data(), values.size_bytes());
  }
}

template <class T>
void take_rows(Taker& in, std::vector<T>& column, std::int64_t rows) {
  column.resize(static_cast<std::size_t>(rows));
  std::size_t const bytes = column.size() * sizeof(T);
  std::byte const* const from = in.take(bytes);
  if (bytes != 0) {
    std::memcpy(static_cast<void*>(column.data()), from, bytes);
  }
}
inline void take_rows(Taker& in, std::vector<std::string>& column, std::int64_t rows) {
  column.resize(static_cast<std::size_t>(rows));
  for (std::string& words : column) {
    std::size_t const size = in.size();
    words.assign(reinterpret_cast<char const*>(in.take(size)), size);
  }
}
template <class T>
void take_rows(Taker& in, data::Rows<T>& column, std::int64_t rows) {
  std::int64_t const inner = in.number();
  if (inner != column.inner()) {
    column = data::Rows<T>(inner);
  }
  column.clear();
  std::vector<T> aligned;  // only where the bytes do not lie as T must
  for (std::int64_t row = 0; row < rows; ++row) {
    std::size_t const size = in.size();
    std::byte const* const from = in.take(size * sizeof(T));
    if (reinterpret_cast<std::uintptr_t>(from) % alignof(T) == 0) {
      column.push_back({reinterpret_cast<T const*>(from), size});
    } else {
      aligned.resize(size);
      if (size != 0) {
        std::memcpy(static_cast<void*>(aligned.data()), from, size * sizeof(T));
      }
      column.push_back({aligned.data(), size});
    }
  }
}

/// Appends rows of a batch as bytes.
template <data::ColumnBatch B>
void encode(B const& batch, std::span<std::int64_t const> rows, Bytes& out) {
  data::for_each_column(batch,
                        [&](std::string_view, auto const& column) { put_rows(out, column, rows); });
}
/// Replaces a batch by `rows` rows that `encode` wrote.
template <data::ColumnBatch B>
void decode(std::span<std::byte const> bytes, std::int64_t rows, B& out) {
  Taker in(bytes);
  out.columns([&](std::string_view, auto& column) { take_rows(in, column, rows); });
  in.expect_end();
}

/// Removes all rows and keeps their memory.
template <data::ColumnBatch B>
void clear_rows(B& batch) {
  batch.columns([](std::string_view, auto& column) { column.clear(); });
}
/// Appends rows of a batch to another, in the order of `rows`. Errors: invalid_argument where the
/// columns differ.
template <data::ColumnBatch B>
void append_listed(B& into, B const& from, std::span<std::int64_t const> rows) {
  data::for_each_pair(into, from, [&](std::string_view, auto& column, auto const& other) {
    data::detail::adopt_shape(column, other);
    for (std::int64_t const row : rows) {
      data::detail::append_row(column, other, row);
    }
  });
}

}  // namespace rlhf::inline v0::engine::detail
