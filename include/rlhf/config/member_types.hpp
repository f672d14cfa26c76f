/// @file
/// Which types members of sections may have. Layer: config.
#pragma once

#include <rlhf/config/limits.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace rlhf::inline v0::config {

/// A whole number.
template <class T>
inline constexpr bool is_whole = std::is_same_v<T, int> || std::is_same_v<T, std::int64_t>;

/// What an optional is of; void for all else.
template <class T>
struct OptionalOf {
  using type = void;
};
template <class T>
struct OptionalOf<std::optional<T>> {
  using type = T;
};
template <class T>
inline constexpr bool is_optional = !std::is_void_v<typename OptionalOf<T>::type>;

/// What a list is of; void for all else.
template <class T>
struct ElementOf {
  using type = void;
};
template <class T>
struct ElementOf<std::vector<T>> {
  using type = T;
};
template <class T>
inline constexpr bool is_list = !std::is_void_v<typename ElementOf<T>::type>;

/// Takes any visit of a table.
struct AnyVisit {
  template <class Member>
  void operator()(std::string_view, Member&, Limits const&, std::string_view) const noexcept {}
};
/// A struct with a table of its keys: `fields(section, visit)`. See config/limits.hpp.
template <class T>
concept IsSection = requires(T& section) {
  T::fields(section, AnyVisit{});
};

/// Sections by name: `Named` (config/config.hpp).
template <class T>
concept NamedSections = requires(T& named) {
  named.entries[0].name;
  named.entries[0].value;
};

}  // namespace rlhf::inline v0::config
