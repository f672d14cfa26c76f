/// @file
/// A dataset whose items are in memory. Layer: data.
#pragma once

#include <rlhf/data/concepts.hpp>
#include <rlhf/data/fingerprint.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {
namespace detail {

template <class T>
concept PlainValue = std::is_arithmetic_v<T> || std::has_unique_object_representations_v<T>;

/// The bytes of a string, of a list of numbers, or of a plain value.
template <class T>
  requires std::is_convertible_v<T const&, std::string_view>
[[nodiscard]] std::string_view bytes_of_item(T const& item) noexcept {
  return item;
}
template <PlainValue T>
[[nodiscard]] std::string_view bytes_of_item(std::vector<T> const& item) noexcept {
  return {reinterpret_cast<char const*>(item.data()), item.size() * sizeof(T)};
}
template <PlainValue T>
[[nodiscard]] std::string_view bytes_of_item(T const& item) noexcept {
  return {reinterpret_cast<char const*>(&item), sizeof item};
}

}  // namespace detail

/// Items in a vector, in its order. Models Dataset.
///
/// Thread safety: reading from any number of threads.
template <class T>
class InMemory {
 public:
  using Item = T;

  InMemory() = default;
  explicit InMemory(std::vector<T> items) : items_(std::move(items)) {}

  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(items_.size());
  }
  [[nodiscard]] T const& operator[](std::int64_t i) const noexcept {
    return items_[static_cast<std::size_t>(i)];
  }
  /// Of items that are strings, numbers, vectors of numbers or structs without padding. Other items
  /// say themselves what their bytes are: `fingerprint([](T const& item) { return item.text; })`.
  [[nodiscard]] std::uint64_t fingerprint() const requires requires(T const& item) {
    detail::bytes_of_item(item);
  }
  {
    return fingerprint([](T const& item) { return detail::bytes_of_item(item); });
  }
  template <class BytesOf>
  [[nodiscard]] std::uint64_t fingerprint(BytesOf&& bytes_of) const {
    return sampled_fingerprint(
        size(), [&, this](std::int64_t i) -> decltype(auto) { return bytes_of((*this)[i]); });
  }

 private:
  std::vector<T> items_;
};

}  // namespace rlhf::inline v0::data
