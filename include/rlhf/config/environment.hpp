/// @file
/// `${NAME}` and `${NAME:default}` in texts of a configuration. Layer: config.
#pragma once

#include <rlhf/config/value.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace rlhf::inline v0::config {

/// Puts variables in the place of `${NAME}` in all texts of a tree.
///
/// `${NAME:default}` is the default where NAME is not set; all between the first colon and the
/// brace that closes it, other pairs of braces included. `$${` stands for `${`. A text in which
/// something was replaced is raw: it becomes whatever its setting wants. Keys are left alone.
///
/// @param lookup `char const*(std::string const&)`: a variable's value, or null.
/// Errors: invalid_argument with the place, the text and what to write.
template <class Lookup>
class Substitution {
 public:
  explicit Substitution(Lookup const& lookup) : lookup_(&lookup) {}

  void operator()(Value& value) const {
    if (value.kind == Kind::text && value.text.find('$') != std::string::npos) {
      replace(value);
    }
    for (Value& item : value.items) {
      (*this)(item);
    }
  }

 private:
  [[noreturn]] static void refuse(Value const& value, std::string_view why) {
    fail(Errc::invalid_argument,
         text("config ", value.place, ": ", value.key, value.key.empty() ? "a list has " : " is ",
              show(value), "; ", why));
  }

  void replace(Value& value) const {
    std::string_view const from = value.text;
    std::string out;
    bool replaced = false;
    for (std::size_t at = 0; at < from.size();) {
      if (from.substr(at).starts_with("$${")) {
        out += "${";
        at += 3;
      } else if (from.substr(at).starts_with("${")) {
        std::size_t const end = closing(value, from, at + 2);
        out += variable(value, from.substr(at + 2, end - at - 2));
        at = end + 1;
        replaced = true;
      } else {
        out += from[at];
        ++at;
      }
    }
    value.text = out;
    value.raw = replaced;
  }

  /// Where the brace is that closes the one before `at`.
  [[nodiscard]] static std::size_t closing(Value const& value, std::string_view from,
                                           std::size_t at) {
    int open = 1;
    for (; at < from.size(); ++at) {
      open += from[at] == '{' ? 1 : 0;
      open -= from[at] == '}' ? 1 : 0;
      if (open == 0) {
        return at;
      }
    }
    refuse(value, R"("${" is not closed; write "}" behind the name, or "$${" for these letters)");
  }

  [[nodiscard]] std::string variable(Value const& value, std::string_view inside) const {
    std::size_t const colon = inside.find(':');
    std::string const name(inside.substr(0, colon));
    bool fits = !name.empty() && (name[0] < '0' || name[0] > '9');
    for (char const c : name) {
      fits = fits && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_');
    }
    if (!fits) {
      refuse(value, text("\"", std::string_view(name).substr(0, 40),
                         "\" is no name of a variable: letters, digits and _ are"));
    }
    if (char const* const found = (*lookup_)(name)) {
      return found;
    }
    if (colon == std::string_view::npos) {
      refuse(value, text("the environment has no ", name, "; set it, or write a default: ${", name,
                         ":...}"));
    }
    return std::string(inside.substr(colon + 1));
  }

  Lookup const* lookup_;
};

}  // namespace rlhf::inline v0::config
