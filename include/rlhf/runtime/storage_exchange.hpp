/// @file
/// Brings a stored value to ranks that have a storage of their own. Layer: runtime.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/data/columns.hpp>
#include <rlhf/data/rows.hpp>
#include <rlhf/runtime/detail/packed_bytes.hpp>
#include <rlhf/runtime/storage.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::runtime {
namespace detail {

template <class T>
inline constexpr bool is_plain =
    std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> && std::is_default_constructible_v<T>;

template <class Late, class T>
  requires is_plain<T>
void pack_value(PackedBytes<Late>& out, T const& value) {
  out.put(&value, 1);
}
template <class Late, class T>
  requires is_plain<T>
void unpack_value(PackedBytes<Late>& in, T& value) {
  in.get(&value, 1);
}

template <class Late>
void pack_value(PackedBytes<Late>& out, std::string const& value) {
  out.put_text(value);
}
template <class Late>
void unpack_value(PackedBytes<Late>& in, std::string& value) {
  in.get_text(value);
}

template <class Late, class T>
  requires is_plain<T>
void pack_value(PackedBytes<Late>& out, std::vector<T> const& value) {
  auto const size = static_cast<std::int64_t>(value.size());
  out.put(&size, 1);
  out.put(value.data(), value.size());
}
template <class Late, class T>
  requires is_plain<T>
void unpack_value(PackedBytes<Late>& in, std::vector<T>& value) {
  std::int64_t size = 0;
  in.get(&size, 1);
  value.resize(static_cast<std::size_t>(size));
  in.get(value.data(), value.size());
}

template <class Late>
void pack_value(PackedBytes<Late>& out, std::vector<std::string> const& value) {
  auto const size = static_cast<std::int64_t>(value.size());
  out.put(&size, 1);
  for (std::string const& words : value) {
    out.put_text(words);
  }
}
template <class Late>
void unpack_value(PackedBytes<Late>& in, std::vector<std::string>& value) {
  std::int64_t size = 0;
  in.get(&size, 1);
  value.resize(static_cast<std::size_t>(size));
  for (std::string& words : value) {
    in.get_text(words);
  }
}

template <class Late, class T>
void pack_value(PackedBytes<Late>& out, data::Rows<T> const& value) {
  std::int64_t const inner = value.inner();
  out.put(&inner, 1);
  pack_value(out, value.values());
  pack_value(out, value.begins());
}
template <class Late, class T>
void unpack_value(PackedBytes<Late>& in, data::Rows<T>& value) {
  std::int64_t inner = 0;
  std::vector<T> values;
  std::vector<std::int64_t> begins;
  in.get(&inner, 1);
  unpack_value(in, values);
  unpack_value(in, begins);
  value = data::Rows<T>(inner);
  value.assign(std::move(values), std::move(begins));
}

template <class Late, data::ColumnBatch Batch>
  requires(!is_plain<Batch>)
void pack_value(PackedBytes<Late>& out, Batch const& batch) {
  data::for_each_column(batch,
                        [&](std::string_view, auto const& column) { pack_value(out, column); });
}
template <class Late, data::ColumnBatch Batch>
  requires(!is_plain<Batch>)
void unpack_value(PackedBytes<Late>& in, Batch& batch) {
  batch.columns([&](std::string_view, auto& column) { unpack_value(in, column); });
}

}  // namespace detail

/// A type whose values `publish` can send: trivially copyable ones without addresses in them,
/// `std::string`, vectors of either, `data::Rows`, and batches of columns.
///
/// Not covered: values on a device (publish what describes them, move them by a `sync::Link` or the
/// communicator's calls), types with pointers, nested vectors.
template <class T>
concept Publishable = requires(detail::PackedBytes<void>& bytes, T& value) {
  detail::pack_value(bytes, std::as_const(value));
  detail::unpack_value(bytes, value);
};

/// Brings root's value of `key` into every rank's storage; collective over `comm`.
///
/// For ranks that are processes, or otherwise have a storage of their own. Ranks that share root's
/// storage may take part: they put what is there already.
/// Cost: the value packed once, two broadcasts. All ranks must be the same program.
/// Errors, on every rank: invalid_argument where root has no such value.
template <comm::Communicator C, class Late, class T>
  requires Publishable<T>
void publish(C& comm, BasicStorage<Late>& storage, Key<T> key, int root) {
  detail::PackedBytes<Late> packed;
  std::int64_t size = -1;
  if (comm.rank() == root && storage.has(key.name)) {
    try {
      storage.with(key, Deadline::after(Milliseconds{0}),
                   [&](T const& value) { detail::pack_value(packed, value); });
    } catch (...) {
      comm.broadcast(&size, 1, DType::i64, root, {});
      throw;
    }
    size = static_cast<std::int64_t>(packed.bytes.size());
  }
  comm.broadcast(&size, 1, DType::i64, root, {});
  if (size < 0) {
    fail(Errc::invalid_argument,
         text("\"", key.name, "\" is not in the storage of rank ", comm.world_rank(root), " as a ",
              type_name<T>(), ", so it cannot be published; put it there first"),
         comm.world_rank(root));
  }
  packed.bytes.resize(static_cast<std::size_t>(size));
  if (size > 0) {
    comm.broadcast(packed.bytes.data(), size, DType::u8, root, {});
  }
  if (comm.rank() != root) {
    T value{};
    detail::unpack_value(packed, value);
    storage.put(key, std::move(value));
  }
}

}  // namespace rlhf::inline v0::runtime
