/// @file
/// A rank's description as bytes, for the exchange between ranks. Layer: sync, private.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/plan/description.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::sync::detail {

template <class = void>
void write(std::vector<std::byte>& out, std::int64_t value) {
  auto const* const bytes = reinterpret_cast<std::byte const*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}
template <class = void>
void write(std::vector<std::byte>& out, std::string_view value) {
  write(out, std::ssize(value));
  auto const* const bytes = reinterpret_cast<std::byte const*>(value.data());
  out.insert(out.end(), bytes, bytes + value.size());
}
template <class = void>
void write(std::vector<std::byte>& out, Extents const& extents) {
  write(out, std::int64_t{extents.rank()});
  for (int d = 0; d < extents.rank(); ++d) {
    write(out, extents[d]);
  }
}
template <class T>
void write(std::vector<std::byte>& out, plan::BasicRankDescription<T> const& description) {
  write(out, std::int64_t{description.world_rank});
  write(out, std::ssize(description.parameters));
  for (plan::HeldParameter const& held : description.parameters) {
    write(out, std::string_view(held.name));
    write(out, static_cast<std::int64_t>(held.dtype));
    write(out, held.holding.global);
    write(out, std::ssize(held.holding.boxes));
    for (HeldBox const& box : held.holding.boxes) {
      write(out, box.box.start);
      write(out, box.box.extent);
      write(out, box.local_start);
      write(out, box.offset);
      write(out, box.strides);
    }
  }
}

/// Reads what `write` wrote; anything else is an Error, never undefined.
template <class = void>
class Reader {
 public:
  explicit Reader(std::span<std::byte const> bytes) : bytes_(bytes) {}

  [[nodiscard]] std::int64_t number() {
    std::int64_t value = 0;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  /// A count of things that each take at least `bytes_each` more bytes.
  [[nodiscard]] std::int64_t count(std::int64_t bytes_each) {
    std::int64_t const value = number();
    if (value < 0 || value > std::ssize(bytes_) / bytes_each) {
      broken();
    }
    return value;
  }
  [[nodiscard]] std::string_view string() {
    auto const size = static_cast<std::size_t>(count(1));
    return {reinterpret_cast<char const*>(take(size)), size};
  }
  [[nodiscard]] Extents extents() {
    std::int64_t const rank = number();
    if (rank < 0 || rank > max_rank) {
      broken();
    }
    Extents out;
    for (std::int64_t d = 0; d < rank; ++d) {
      out.push_back(number());
    }
    return out;
  }

 private:
  [[noreturn]] static void broken() {
    fail(Errc::corrupted,
         "the description of a rank cannot be read; do all ranks run the same "
         "version of the program?");
  }
  std::byte const* take(std::size_t size) {
    if (bytes_.size() < size) {
      broken();
    }
    std::byte const* const at = bytes_.data();
    bytes_ = bytes_.subspan(size);
    return at;
  }

  std::span<std::byte const> bytes_;
};

template <class = void>
[[nodiscard]] plan::RankDescription read(std::span<std::byte const> bytes) {
  Reader reader(bytes);
  plan::RankDescription description;
  description.world_rank = static_cast<int>(reader.number());
  std::int64_t const parameters = reader.count(32);
  for (std::int64_t p = 0; p < parameters; ++p) {
    plan::HeldParameter held;
    held.name = reader.string();
    held.dtype = static_cast<DType>(reader.number());
    held.holding.global = reader.extents();
    std::int64_t const boxes = reader.count(40);
    for (std::int64_t b = 0; b < boxes; ++b) {
      HeldBox box;
      box.box.start = reader.extents();
      box.box.extent = reader.extents();
      box.local_start = reader.extents();
      box.offset = reader.number();
      box.strides = reader.extents();
      held.holding.boxes.push_back(box);
    }
    description.parameters.push_back(static_cast<plan::HeldParameter&&>(held));
  }
  return description;
}

}  // namespace rlhf::inline v0::sync::detail
