/// @file
/// Sections back to values, with all defaults filled in; their fingerprint. Layer: config.
#pragma once

#include <rlhf/config/limits.hpp>
#include <rlhf/config/member_types.hpp>
#include <rlhf/config/value.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/text.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::config {

/// Any member of a section, or a section, as a value.
template <class T>
[[nodiscard]] Value to_value(T const& from) {
  Value out;
  if constexpr (std::is_same_v<T, Value>) {
    out = from;
  } else if constexpr (std::is_same_v<T, bool>) {
    out.kind = Kind::boolean;
    out.boolean = from;
  } else if constexpr (is_whole<T>) {
    out.kind = Kind::integer;
    out.integer = from;
  } else if constexpr (std::is_same_v<T, double>) {
    out.kind = Kind::real;
    out.real = from;
    out.text = exact_text(from);
  } else if constexpr (std::is_same_v<T, std::string>) {
    out = text_value(from);
  } else if constexpr (HasChoices<T>) {
    out = text_value(word_of(from));
  } else if constexpr (is_optional<T>) {
    out = from.has_value() ? to_value(*from) : Value{};
  } else if constexpr (is_list<T>) {
    out.kind = Kind::list;
    for (auto const& item : from) {
      out.items.push_back(to_value(item));
    }
  } else if constexpr (NamedSections<T>) {
    out.kind = Kind::section;
    for (auto const& entry : from.entries) {
      out.items.push_back(to_value(entry.value));
      out.items.back().key = entry.name;
    }
  } else {
    static_assert(IsSection<T>, "a setting of a type that configurations do not have");
    out.kind = Kind::section;
    T::fields(from,
              [&](std::string_view name, auto const& member, Limits const&, std::string_view) {
                out.items.push_back(to_value(member));
                out.items.back().key = name;
              });
  }
  return out;
}

/// A setting and what it is, for comparisons.
struct Setting {
  std::string path{};   ///< `models.policy.num_gpu`.
  std::string value{};  ///< As messages show it, but in full.

  bool operator==(Setting const&) const = default;
};

namespace detail {

inline void list_settings(Value const& value, std::string const& path, std::vector<Setting>& out) {
  if (value.kind == Kind::section && !value.items.empty()) {
    for (Value const& item : value.items) {
      list_settings(item, path.empty() ? item.key : text(path, ".", item.key), out);
    }
  } else if (value.kind == Kind::list && !value.items.empty()) {
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      list_settings(value.items[i], text(path, "[", i, "]"), out);
    }
  } else {
    out.push_back({path, value.kind == Kind::text      ? text("\"", value.text, "\"")
                         : value.kind == Kind::real    ? exact_text(value.real)
                         : value.kind == Kind::list    ? "[]"
                         : value.kind == Kind::section ? "{}"
                                                       : show(value)});
  }
}

}  // namespace detail

/// All settings of a section in the order of its table, defaults included.
template <IsSection Section>
[[nodiscard]] std::vector<Setting> settings_of(Section const& section) {
  std::vector<Setting> out;
  detail::list_settings(to_value(section), "", out);
  return out;
}

/// Equal for equal settings, on every rank, run and compiler. Not cryptographic.
template <IsSection Section>
[[nodiscard]] std::uint64_t fingerprint(Section const& section) {
  Fingerprint out;
  for (Setting const& setting : settings_of(section)) {
    out.add(setting.path).add(setting.value);
  }
  return out.value();
}

}  // namespace rlhf::inline v0::config
