/// @file
/// Batches of columns in archives. Layer: checkpoint.
///
/// A column `tokens` of `Rows<T>` becomes the entries `<prefix>tokens`, a tensor of shape
/// (positions, inner), and `<prefix>tokens.begins`; one of strings the bytes of all of them and
/// `.begins`; one of numbers a tensor of shape (rows). Other plain values (`std::uint64_t`,
/// structs) are the bytes of this machine, sizeof(T) a value.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/columns.hpp>
#include <rlhf/data/rows.hpp>
#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/shape.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::checkpoint {
namespace detail {

/// What a column may hold beside elements of tensors and strings.
template <class T>
concept PlainValue = !Element<T> && std::is_trivially_copyable_v<T> && !std::is_same_v<T, bool>;

/// Bytes of a position of a column.
template <class T>
[[nodiscard]] std::int64_t width_of(data::Rows<T> const& column) noexcept {
  return column.inner() * static_cast<std::int64_t>(sizeof(T));
}
template <class T>
[[nodiscard]] auto bytes_view(std::vector<T> const& values, Shape const& shape) {
  auto const* const bytes = reinterpret_cast<std::uint8_t const*>(values.data());
  return rlhf::view(const_cast<std::uint8_t*>(bytes), shape);  // only read
}

template <Element T>
void save_values(ArchiveWriter& archive, std::string_view name, std::vector<T> const& values,
                 Shape const& shape) {
  archive.add(name, rlhf::view(const_cast<T*>(values.data()), shape));  // only read
}
inline void save_begins(ArchiveWriter& archive, std::string_view name,
                        std::vector<std::int64_t> const& begins) {
  save_values(archive, text(name, ".begins"), begins,
              Shape{static_cast<std::int64_t>(begins.size())});
}

template <Element T>
void save_column(ArchiveWriter& archive, std::string const& name, std::vector<T> const& column) {
  save_values(archive, name, column, Shape{static_cast<std::int64_t>(column.size())});
}
template <Element T>
void save_column(ArchiveWriter& archive, std::string const& name, data::Rows<T> const& column) {
  save_values(archive, name, column.values(), Shape{column.positions(), column.inner()});
  save_begins(archive, name, column.begins());
}
/// Plain values that are no elements of tensors: their bytes.
template <PlainValue T>
void save_column(ArchiveWriter& archive, std::string const& name, std::vector<T> const& column) {
  std::int64_t const rows = std::ssize(column);
  archive.add(name, bytes_view(column, {rows, static_cast<std::int64_t>(sizeof(T))}));
}
template <PlainValue T>
void save_column(ArchiveWriter& archive, std::string const& name, data::Rows<T> const& column) {
  archive.add(name, bytes_view(column.values(), {column.positions(), width_of<T>(column)}));
  save_begins(archive, name, column.begins());
}
inline void save_column(ArchiveWriter& archive, std::string const& name,
                        std::vector<std::string> const& column) {
  std::string all;
  std::vector<std::int64_t> begins{0};
  for (std::string const& words : column) {
    all += words;
    begins.push_back(static_cast<std::int64_t>(all.size()));
  }
  archive.add(name, std::as_bytes(std::span<char const>(all.data(), all.size())));
  save_begins(archive, name, begins);
}

/// The values of an entry of this type and number of dimensions.
template <Element T>
[[nodiscard]] std::vector<T> load_values(ArchiveReader const& archive, std::string const& name,
                                         int dimensions, Shape& shape) {
  ArchiveEntry const& entry = archive.at(name);
  if (entry.dtype != dtype_of<T> || entry.shape.rank() != dimensions) {
    fail(Errc::invalid_argument,
         text("the column ", name, " was saved as ", to_string(entry.dtype), " ",
              to_string(entry.shape), ", it is to be read as ", to_string(dtype_of<T>), " with ",
              dimensions, dimensions == 1 ? " dimension" : " dimensions"));
  }
  shape = entry.shape;
  std::vector<T> values(entry.bytes.size() / sizeof(T));
  if (!values.empty()) {
    std::memcpy(values.data(), entry.bytes.data(), values.size() * sizeof(T));
  }
  return values;
}

template <Element T>
void load_column(ArchiveReader const& archive, std::string const& name, std::vector<T>& column) {
  Shape shape;
  column = load_values<T>(archive, name, 1, shape);
}
template <Element T>
void load_column(ArchiveReader const& archive, std::string const& name, data::Rows<T>& column) {
  Shape shape;
  std::vector<T> values = load_values<T>(archive, name, 2, shape);
  Shape ignored;
  std::vector<std::int64_t> begins =
      load_values<std::int64_t>(archive, text(name, ".begins"), 1, ignored);
  data::Rows<T> loaded(shape[1]);
  loaded.assign(std::move(values), std::move(begins));
  column = std::move(loaded);
}
/// The bytes of an entry of `PlainValue`s. `width`: bytes of a position; 0: of any multiple of
/// sizeof(T).
template <PlainValue T>
[[nodiscard]] std::vector<T> load_plain(ArchiveReader const& archive, std::string const& name,
                                        std::int64_t width, Shape& shape) {
  std::vector<std::uint8_t> const bytes = load_values<std::uint8_t>(archive, name, 2, shape);
  std::int64_t const size = static_cast<std::int64_t>(sizeof(T));
  if (width != 0 ? shape[1] != width : shape[1] % size != 0) {
    fail(Errc::invalid_argument, text("the column ", name, " was saved in values of ", shape[1],
                                      " bytes, it is to be read as values of ", size));
  }
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) {
    std::memcpy(static_cast<void*>(values.data()), bytes.data(), bytes.size());
  }
  return values;
}
template <PlainValue T>
void load_column(ArchiveReader const& archive, std::string const& name, std::vector<T>& column) {
  Shape shape;
  column = load_plain<T>(archive, name, static_cast<std::int64_t>(sizeof(T)), shape);
}
template <PlainValue T>
void load_column(ArchiveReader const& archive, std::string const& name, data::Rows<T>& column) {
  Shape shape;
  std::vector<T> values = load_plain<T>(archive, name, 0, shape);
  Shape ignored;
  data::Rows<T> loaded(shape[1] / static_cast<std::int64_t>(sizeof(T)));
  loaded.assign(std::move(values),
                load_values<std::int64_t>(archive, text(name, ".begins"), 1, ignored));
  column = std::move(loaded);
}
inline void load_column(ArchiveReader const& archive, std::string const& name,
                        std::vector<std::string>& column) {
  Shape shape;
  std::vector<std::uint8_t> const bytes = load_values<std::uint8_t>(archive, name, 1, shape);
  data::Rows<std::uint8_t> rows;
  rows.assign(bytes, load_values<std::int64_t>(archive, text(name, ".begins"), 1, shape));
  column.clear();
  for (std::int64_t row = 0; row < rows.size(); ++row) {
    std::span<std::uint8_t const> const found = std::as_const(rows)[row];
    column.emplace_back(reinterpret_cast<char const*>(found.data()), found.size());
  }
}

}  // namespace detail

namespace detail {

/// Any other column: says so once, and is no error of its own where it would be read.
struct AnyColumn {
  template <class Column>
  AnyColumn(Column const&) noexcept {  // NOLINT: implicit on purpose
    static_assert(sizeof(Column) == 0,
                  "[rlhf:checkpoint.columns] a column that is saved must be of plain values "
                  "(std::uint8_t for truth values), strings, or data::Rows of plain values; see "
                  "checkpoint/columns.hpp");
  }
};
inline void save_column(ArchiveWriter&, std::string const&, AnyColumn const&) {}
template <class... Column>
void load_column(ArchiveReader const&, std::string const&, Column&...) {}

}  // namespace detail

/// Adds the columns of a batch: rows or vectors of tensor elements or other plain values, and
/// vectors of strings.
///
/// Errors: invalid_argument for columns of different lengths, or names that are taken.
template <data::ColumnBatch Batch>
void save_columns(ArchiveWriter& archive, Batch const& batch, std::string_view prefix = "") {
  static_cast<void>(data::row_count(batch));
  data::for_each_column(batch, [&](std::string_view name, auto const& column) {
    detail::save_column(archive, text(prefix, name), column);
  });
}

/// Replaces the columns of a batch by those that were saved under this prefix.
///
/// Errors: invalid_argument when a column is missing, of another type, or the batch is not one.
/// The batch is then partly read.
template <data::ColumnBatch Batch>
void load_columns(ArchiveReader const& archive, Batch& batch, std::string_view prefix = "") {
  batch.columns([&](std::string_view name, auto& column) {
    detail::load_column(archive, text(prefix, name), column);
  });
  static_cast<void>(data::row_count(batch));
}

}  // namespace rlhf::inline v0::checkpoint
