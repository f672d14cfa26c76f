/// @file
/// JSON Schema (draft 2020-12) of configurations, for editors. Layer: adapters.
///
/// Made of the same tables as the reader: types, ranges, choices, defaults, descriptions; keys that
/// are not in a table are refused. Where the reader takes `"${NAME}"` for a number or a bool, so
/// does the schema. What settings ask of each other is beyond it.
#pragma once

#include <rlhf/config/config.hpp>
#include <rlhf/config/limits.hpp>
#include <rlhf/config/member_types.hpp>
#include <rlhf/config/value.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::adapters {
namespace detail {

using Schema = nlohmann::ordered_json;

/// Texts that the environment may turn into what a setting wants.
[[nodiscard]] inline Schema variable_schema() {
  Schema out = Schema::object();
  out["type"] = "string";
  out["pattern"] = R"(\$\{[A-Za-z_][A-Za-z0-9_]*(:.*)?\})";
  return out;
}

/// `{"anyOf": [one, other]}`, `{"type": [type, "null"]}`. Made step by step: nested braces of JSON
/// leak in clang 14.
[[nodiscard]] inline Schema any_of(Schema const& one, Schema const& other) {
  Schema out = Schema::object();
  out["anyOf"] = Schema::array();
  out["anyOf"].push_back(one);
  out["anyOf"].push_back(other);
  return out;
}
[[nodiscard]] inline Schema or_null(char const* type) {
  Schema out = Schema::object();
  out["type"] = Schema::array();
  out["type"].push_back(type);
  out["type"].push_back("null");
  return out;
}
[[nodiscard]] inline Schema list_of(Schema const& item) {
  Schema out = or_null("array");
  out["items"] = item;
  return out;
}

template <class Section>
[[nodiscard]] Schema section_schema();

/// What one value of this type may be.
template <class T>
[[nodiscard]] Schema type_schema(config::Limits const& limits) {
  using config::ElementOf;
  using config::OptionalOf;
  if constexpr (std::is_same_v<T, config::Value>) {
    return or_null("object");
  } else if constexpr (std::is_same_v<T, bool>) {
    return any_of(or_null("boolean"), variable_schema());
  } else if constexpr (std::is_arithmetic_v<T>) {
    Schema number = or_null(config::is_whole<T> ? "integer" : "number");
    if constexpr (config::is_whole<T>) {
      if (limits.least != INT64_MIN) {
        number["minimum"] = limits.least;
      }
      if (limits.most != INT64_MAX) {
        number["maximum"] = limits.most;
      }
    } else {
      if (limits.least_real > -1e308) {
        number["minimum"] = limits.least_real;
      }
      if (limits.most_real < 1e308) {
        number[limits.below_most ? "exclusiveMaximum" : "maximum"] = limits.most_real;
      }
    }
    return any_of(number, variable_schema());
  } else if constexpr (std::is_same_v<T, std::string>) {
    Schema words = or_null("string");
    if (limits.least > 0) {
      words["minLength"] = limits.least;
    }
    if (limits.required) {
      words["type"] = "string";
    }
    return words;
  } else if constexpr (config::HasChoices<T>) {
    Schema choices = Schema::object();
    choices["enum"] = Schema::array();
    for (std::string_view const name : config::Choices<T>::names) {
      choices["enum"].push_back(std::string(name));
    }
    choices["enum"].push_back(nullptr);
    return any_of(choices, variable_schema());
  } else if constexpr (config::is_optional<T>) {
    return type_schema<typename OptionalOf<T>::type>(limits);
  } else if constexpr (std::is_same_v<T, std::vector<std::vector<std::string>>>) {
    Schema name = Schema::object();
    name["type"] = "string";
    Schema const group = any_of(name, list_of(name));
    return any_of(list_of(group), variable_schema());
  } else if constexpr (config::is_list<T>) {
    Schema const item = type_schema<typename ElementOf<T>::type>(limits);
    return any_of(list_of(item), item);
  } else if constexpr (config::NamedSections<T>) {
    using Entry = typename decltype(T::entries)::value_type;
    Schema out = or_null("object");
    out["propertyNames"]["pattern"] = "^[A-Za-z0-9_-]{1,64}$";
    out["additionalProperties"] = section_schema<decltype(Entry::value)>();
    out["additionalProperties"]["type"] = or_null("object")["type"];
    return out;
  } else {
    Schema section = section_schema<T>();
    section["type"] = or_null("object")["type"];
    return section;
  }
}

/// A default as JSON; sections and names have none of their own.
template <class T>
void put_default(Schema& schema, T const& member) {
  if constexpr (std::is_same_v<T, bool> || std::is_arithmetic_v<T> ||
                std::is_same_v<T, std::string>) {
    schema["default"] = member;
  } else if constexpr (config::HasChoices<T>) {
    schema["default"] = std::string(config::word_of(member));
  } else if constexpr (config::is_optional<T>) {
    schema["default"] = nullptr;
  } else if constexpr (config::is_list<T>) {
    schema["default"] = Schema::array();
    for (auto const& item : member) {
      Schema one;
      put_default(one, item);
      schema["default"].push_back(one["default"]);
    }
  }
}

template <class Section>
[[nodiscard]] Schema section_schema() {
  Section const defaults{};
  Schema properties = Schema::object();
  Schema required = Schema::array();
  Section::fields(defaults,
                  [&]<class T>(std::string_view name, T const& member, config::Limits const& limits,
                               std::string_view description) {
                    Schema one = type_schema<T>(limits);
                    one["description"] = std::string(description);
                    if (limits.required) {
                      required.push_back(std::string(name));
                    } else {
                      put_default(one, member);
                    }
                    properties[std::string(name)] = one;
                  });
  if constexpr (requires { Section::file_keys; }) {
    for (std::string_view const name : Section::file_keys) {
      properties[std::string(name)]["description"] = "of the file, no setting";
    }
  }
  Schema out = Schema::object();
  out["type"] = "object";
  out["properties"] = properties;
  out["additionalProperties"] = false;
  if (!required.empty()) {
    out["required"] = required;
  }
  return out;
}

}  // namespace detail

/// The schema of a section, of whole configurations unless another is named: write it to a file and
/// name that in `"$schema"`.
///
/// A file that is right by itself passes; so that parts of one do, too, which other files complete,
/// only links need keys.
template <config::IsSection Section = config::Config>
[[nodiscard]] std::string config_schema() {
  detail::Schema out = detail::Schema::object();
  out["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  out["title"] = "rlhf configuration";
  out.update(detail::section_schema<Section>());
  return out.dump(2) + "\n";
}

}  // namespace rlhf::inline v0::adapters
