/// @file
/// JSON text of a file to values, with errors that say where. Layer: adapters.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/nearest.hpp>

#include <cstddef>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <string_view>

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

/// The text as JSON. Errors: invalid_argument, `<what> <origin> is not JSON (line 3, column 17)`,
/// or
/// `<what> <origin> has the key "layers" twice in one object`.
[[nodiscard]] inline nlohmann::json json_of(std::string_view content, std::string_view what,
                                            std::string_view origin) {
  std::vector<std::set<std::string>> open;  // the keys of every object around the place
  auto const watch = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    if (event == nlohmann::json::parse_event_t::object_start) {
      open.emplace_back();
    } else if (event == nlohmann::json::parse_event_t::object_end) {
      open.pop_back();
    } else if (event == nlohmann::json::parse_event_t::key) {
      auto const& key = parsed.get_ref<std::string const&>();
      if (!open.back().insert(key).second) {
        fail(Errc::invalid_argument,
             text(what, " ", origin, " has the key \"", shown(key), "\" twice in one object"));
      }
    }
    return true;
  };
  try {
    return nlohmann::json::parse(content.begin(), content.end(), watch);
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
