/// @file
/// JSON text of a file to values, with errors that say where. Layer: adapters.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/nearest.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::adapters::detail {

/// Text of a file for a message: short, printable.
[[nodiscard]] inline std::string shown(std::string value) {
  if (value.size() > 40) {
    value.resize(40);
    value += "...";
  }
  for (char& c : value) {
    c = c >= ' ' && c <= '~' ? c : '?';
  }
  return value;
}

/// Finds a key that comes twice in one object, among the events of nlohmann's parser (its callbacks
/// would be std::functions).
class DoubleKeys {
 public:
  [[nodiscard]] std::string const& found() const noexcept { return found_; }

  static bool null() { return true; }
  static bool boolean(bool) { return true; }
  static bool number_integer(std::int64_t) { return true; }
  static bool number_unsigned(std::uint64_t) { return true; }
  static bool number_float(double, std::string const&) { return true; }
  static bool string(std::string&) { return true; }
  static bool binary(nlohmann::json::binary_t&) { return true; }
  bool start_object(std::size_t) {
    open_.emplace_back();
    return true;
  }
  bool end_object() {
    open_.pop_back();
    return true;
  }
  static bool start_array(std::size_t) { return true; }
  static bool end_array() { return true; }
  bool key(std::string& name) {
    if (!open_.back().insert(name).second) {
      found_ = name;
      return false;
    }
    return true;
  }
  static bool parse_error(std::size_t, std::string const&, nlohmann::json::exception const&) {
    return false;
  }

 private:
  std::vector<std::set<std::string>> open_;  // the keys of every object around the place
  std::string found_;
};

/// The text as JSON. Errors: invalid_argument, `<what> <origin> is not JSON (line 3, column 17)`,
/// or
/// `<what> <origin> has the key "layers" twice in one object`.
[[nodiscard]] inline nlohmann::json json_of(std::string_view content, std::string_view what,
                                            std::string_view origin) {
  DoubleKeys keys;
  if (!nlohmann::json::sax_parse(content.begin(), content.end(), &keys) && !keys.found().empty()) {
    fail(Errc::invalid_argument,
         text(what, " ", origin, " has the key \"", shown(keys.found()), "\" twice in one object"));
  }
  try {
    return nlohmann::json::parse(content.begin(), content.end());
  } catch (nlohmann::json::parse_error const& error) {
    std::size_t const at = error.byte == 0 ? 0 : error.byte - 1;
    std::size_t line = 1;
    std::size_t column = 1;
    for (std::size_t i = 0; i < at && i < content.size(); ++i) {
      column = content[i] == '\n' ? 1 : column + 1;
      line += content[i] == '\n' ? 1U : 0U;
    }
    fail(Errc::invalid_argument,
         text(what, " ", origin, " is not JSON",
              at >= content.size() ? text(": it ends in the middle, at line ", line)
                                   : text(" (line ", line, ", column ", column, ")")));
  } catch (nlohmann::json::exception const&) {  // a number that no double holds
    fail(Errc::invalid_argument, text(what, " ", origin, " holds a number that is out of range"));
  }
}

/// What is wrong with the keys of an object: the first that is not known, with the nearest that is.
/// Empty where all are known.
[[nodiscard]] inline std::string unknown_key(nlohmann::json const& object,
                                             std::initializer_list<std::string_view> known) {
  std::span<std::string_view const> const words{known.begin(), known.size()};
  for (auto const& [key, value] : object.items()) {
    bool found = false;
    for (std::string_view const one : known) {
      found = found || one == key;
    }
    if (!found) {
      return text("has an unknown key \"", shown(key), "\"; the nearest known one is \"",
                  nearest(key, words), "\"");
    }
  }
  return {};
}

/// The text as a JSON string, quotes included. False where it is not UTF-8.
[[nodiscard]] inline bool append_quoted(std::string& out, std::string const& words) {
  try {
    out += nlohmann::json(words).dump();
  } catch (nlohmann::json::exception const&) {
    return false;
  }
  return true;
}

}  // namespace rlhf::inline v0::adapters::detail
