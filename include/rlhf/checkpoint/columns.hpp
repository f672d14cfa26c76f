/// @file
/// Batches of columns in archives. Layer: checkpoint.
///
/// A column `tokens` of `Rows<T>` becomes the entries `<prefix>tokens`, a tensor of shape
/// (positions, inner), and `<prefix>tokens.begins`; one of strings the bytes of all of them and
/// `.begins`; one of numbers a tensor of shape (rows).
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
#include <utility>
#include <vector>

namespace rlhf::inline v0::checkpoint {
namespace detail {

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

/// Adds the columns of a batch: rows or vectors of tensor elements, and vectors of strings.
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
