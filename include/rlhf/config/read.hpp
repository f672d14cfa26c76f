/// @file
/// Values of any file format into sections, with errors that say where. Layer: config.
#pragma once

#include <rlhf/config/detail/renamed.hpp>
#include <rlhf/config/detail/wanted.hpp>
#include <rlhf/config/limits.hpp>
#include <rlhf/config/member_types.hpp>
#include <rlhf/config/value.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/nearest.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::config {

/// For trees without raw texts, such as `Model::model_args`.
struct NoParse {
  [[nodiscard]] bool operator()(std::string_view, Value&) const noexcept { return false; }
};

/// Reads sections. `Parse` is `bool(std::string_view, Value&)`: the value that a raw text writes,
/// in the grammar of the files that the tree is of; false where it is none.
template <class Parse = NoParse>
class Reader {
 public:
  explicit Reader(Parse parse = {}) : parse_(std::move(parse)) {}

  /// Fills in the keys that `from` has; what it lacks, and what is null there, stays as it is.
  ///
  /// @param path What messages put before the keys; empty for the whole configuration.
  /// Errors: invalid_argument with place, path, value and what is accepted.
  template <IsSection Section>
  void section(Value const& written, Section& out, std::string const& path) const {
    Value const from = parsed<Section>(written);
    if (from.kind != Kind::section) {
      refuse(from, path, detail::wanted<Section>({}), "");
    }
    std::vector<std::string_view> known;
    Section::fields(out, [&](std::string_view name, auto const&, Limits const&, std::string_view) {
      known.push_back(name);
    });
    if constexpr (requires { Section::file_keys; }) {  // which readers of files act upon
      for (std::string_view const name : Section::file_keys) {
        known.push_back(name);
      }
    }
    for (Value const& item : from.items) {
      expect_known(item, known, path);
    }
    Section::fields(out, [&, this](std::string_view name, auto& member, Limits const& limits,
                                   std::string_view description) {
      static_cast<void>(this);  // some sections have no use for it
      Value const* const found = from.find(name);
      std::string const key = path.empty() ? std::string(name) : text(path, ".", name);
      if (found == nullptr || (found->kind == Kind::null && limits.required)) {
        if (limits.required) {
          fail(Errc::invalid_argument, text(head(from), path, " has no \"", name,
                                            "\", which it needs (", description, ")"));
        }
      } else {
        value(*found, member, limits, key, description);
      }
    });
  }

 private:
  [[nodiscard]] static std::string head(Value const& from) {
    return from.place.empty() ? "config: " : text("config ", from.place, ": ");
  }
  [[noreturn]] static void refuse(Value const& from, std::string_view path, std::string_view wanted,
                                  std::string_view description, std::string_view hint = "") {
    fail(Errc::invalid_argument,
         text(head(from), path.empty() ? "the configuration" : path, " is ", show(from),
              "; it must be ", wanted, description.empty() ? "" : " (", description,
              description.empty() ? "" : ")", hint));
  }

  static void expect_known(Value const& item, std::vector<std::string_view> const& known,
                           std::string const& path) {
    for (std::string_view const name : known) {
      if (name == item.key) {
        return;
      }
    }
    std::string_view const other = detail::renamed(item.key);
    for (std::string_view const name : known) {
      if (name == other) {
        fail(Errc::invalid_argument,
             text(head(item), path.empty() ? "the configuration" : path, " has an unknown key \"",
                  item.key, "\"; it is called \"", other, "\" here"));
      }
    }
    fail(Errc::invalid_argument,
         text(head(item), path.empty() ? "the configuration" : path, " has an unknown key \"",
              std::string_view(item.key).substr(0, 40), "\"; the nearest known one is \"",
              nearest(item.key, {known.data(), known.size()}), "\""));
  }

  /// What a raw text writes, where the member wants more than a text.
  template <class T>
  [[nodiscard]] Value parsed(Value const& from) const {
    Value out;
    if (!from.raw || !parse_(from.text, out)) {
      return from;
    }
    put_place(out, from.place);
    out.key = from.key;
    return out;
  }

  /// A variable or an option that says null; a text may be just that word.
  template <class T>
  [[nodiscard]] static bool is_raw_null(Value const& from) {
    return !std::is_same_v<T, std::string> && from.raw && from.text == "null";
  }

  template <class T>
  void value(Value const& from, T& out, Limits const& limits, std::string const& path,
             std::string_view description) const {
    if constexpr (std::is_same_v<T, Value>) {
      out = open(from);
      if (out.kind == Kind::null) {
        out = {};
      } else if (out.kind != Kind::section) {
        refuse(from, path, "a section { ... }", description);
      }
      out.key.clear();
    } else if constexpr (is_optional<T>) {
      Value const given = parsed<T>(from);
      if (given.kind == Kind::null) {
        out.reset();
      } else {
        typename OptionalOf<T>::type one{};
        // NOLINTNEXTLINE(readability-suspicious-call-argument): in this order
        scalar(given, from, one, limits, path, description);
        out = one;
      }
    } else if (from.kind == Kind::null || is_raw_null<T>(from)) {
      return;  // as if it were not there
    } else if constexpr (IsSection<T>) {
      section(from, out, path);
    } else if constexpr (NamedSections<T>) {
      named(from, out, path, description);
    } else if constexpr (is_list<T>) {
      list(from, out, limits, path, description);
    } else if constexpr (std::is_same_v<T, std::string> || HasChoices<T>) {
      scalar(from, from, out, limits, path, description);
    } else {
      scalar(parsed<T>(from), from, out, limits, path, description);
    }
  }

  /// @param written What messages show: `from` before a raw text was parsed.
  template <class T>
  void scalar(Value const& from, Value const& written, T& out, Limits const& limits,
              std::string const& path, std::string_view description) const {
    bool fits = false;
    std::string hint;
    if constexpr (std::is_same_v<T, bool>) {
      fits = from.kind == Kind::boolean;
      out = from.boolean;
    } else if constexpr (is_whole<T>) {
      std::int64_t const whole = whole_of(from, fits);
      fits = fits && whole >= limits.least && whole <= limits.most;
      out = static_cast<T>(whole);
    } else if constexpr (std::is_same_v<T, double>) {
      fits = from.kind == Kind::real || from.kind == Kind::integer;
      out = from.kind == Kind::real ? from.real : static_cast<double>(from.integer);
      fits = fits && out >= limits.least_real && out <= limits.most_real &&
             !(limits.below_most && out >= limits.most_real);
    } else if constexpr (std::is_same_v<T, std::string>) {
      fits = from.kind == Kind::text && std::ssize(from.text) >= limits.least;
      out = from.text;
      hint = from.kind == Kind::integer || from.kind == Kind::real || from.kind == Kind::boolean
                 ? "; write it in quotes"
                 : "";
    } else {
      static_assert(HasChoices<T>, "a setting of a type that configurations do not have");
      std::vector<std::string_view> names;
      for (std::string_view const name : Choices<T>::names) {
        if (from.kind == Kind::text && from.text == name) {
          out = static_cast<T>(names.size());
          fits = true;
        }
        names.push_back(name);
      }
      if (!fits && from.kind == Kind::text) {
        std::string_view const other = nearest(from.text, {names.data(), names.size()});
        hint = letters_apart(other, std::string_view(from.text).substr(0, 40)) <= 3
                   ? text("; did you mean ", other, "?")
                   : "";
      }
    }
    if constexpr (std::is_same_v<T, bool> || std::is_arithmetic_v<T>) {
      Value inside;
      hint = from.kind == Kind::text && !from.raw && parse_(from.text, inside) &&
                     inside.kind != Kind::text && inside.kind != Kind::null
                 ? "; write it without quotes"
                 : "";
    }
    if (!fits) {
      refuse(written, path, detail::wanted<T>(limits), description, hint);
    }
  }

  [[nodiscard]] static std::int64_t whole_of(Value const& from, bool& fits) {
    constexpr double most = 9007199254740992.0;  // 2^53: every whole number up to it is exact
    if (from.kind == Kind::real && from.real >= -most && from.real <= most) {
      auto const whole = static_cast<std::int64_t>(from.real);
      double const back = static_cast<double>(whole);
      fits = !(back < from.real) && !(back > from.real);
      return whole;
    }
    fits = from.kind == Kind::integer;
    return from.integer;
  }

  template <class T>
  void list(Value const& written, std::vector<T>& out, Limits const& limits,
            std::string const& path, std::string_view description) const {
    Value from = written;
    if (written.raw) {
      from = written.text.starts_with('[') ? parsed<std::vector<T>>(written) : split(written);
    }
    std::vector<T> read;
    auto const add = [&, this](Value const& item, std::string const& at) {
      T one{};
      if constexpr (std::is_same_v<T, std::vector<std::string>>) {
        group(item, one, at, description);
      } else if constexpr (std::is_same_v<T, std::string> || HasChoices<T>) {
        scalar(item, item, one, limits, at, description);
      } else {
        scalar(parsed<T>(item), item, one, limits, at, description);
      }
      read.push_back(std::move(one));
    };
    if (from.kind == Kind::list) {
      for (std::size_t i = 0; i < from.items.size(); ++i) {
        add(from.items[i], text(path, "[", i, "]"));
      }
    } else if (from.kind == Kind::section || std::is_same_v<T, std::vector<std::string>>) {
      refuse(written, path, detail::wanted<std::vector<T>>(limits), description);
    } else {
      add(from, path);  // one element stands for a list of it
    }
    out = std::move(read);
  }

  /// One group of names: a list of texts, or one text with commas.
  void group(Value const& item, std::vector<std::string>& out, std::string const& path,
             std::string_view description) const {
    Value const names = item.kind == Kind::text ? split(item) : item;
    if (names.kind != Kind::list) {
      refuse(item, path, R"(a group of names, such as "a, b" or ["a", "b"])", description);
    }
    for (Value const& name : names.items) {
      std::string& one = out.emplace_back();
      scalar(name, name, one, Limits{.least = 1}, path, description);
    }
  }

  /// The parts between commas, without spaces around them; raw where the text is.
  [[nodiscard]] static Value split(Value const& from) {
    Value out;
    out.kind = Kind::list;
    out.place = from.place;
    std::string_view rest = from.text;
    while (!rest.empty()) {
      std::size_t const comma = rest.find(',');
      std::string_view part = rest.substr(0, comma);
      rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
      while (part.starts_with(' ')) {
        part.remove_prefix(1);
      }
      while (part.ends_with(' ')) {
        part.remove_suffix(1);
      }
      Value& item = out.items.emplace_back(text_value(part));
      item.raw = from.raw;
      item.place = from.place;
    }
    return out;
  }

  template <class Named>
  void named(Value const& written, Named& out, std::string const& path,
             std::string_view description) const {
    Value const from = parsed<Named>(written);
    if (from.kind != Kind::section) {
      refuse(from, path, "a section { ... } of names", description);
    }
    for (Value const& item : from.items) {
      bool fits = !item.key.empty() && item.key.size() <= 64;
      for (char const c : item.key) {
        fits = fits && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '_' || c == '-');
      }
      if (!fits) {
        fail(Errc::invalid_argument,
             text(head(item), path, " has the name \"", std::string_view(item.key).substr(0, 40),
                  "\"; names are 1 to 64 letters, digits, _ and -"));
      }
      if (item.kind != Kind::null) {  // null takes back what an included file has
        section(item, out[item.key], text(path, ".", item.key));
      }
    }
  }

  /// A value of a program's own keys: raw texts become what they write, if anything.
  [[nodiscard]] Value open(Value const& from) const {
    Value out = parsed<Value>(from);
    out.raw = false;
    for (Value& item : out.items) {
      item = open(item);
    }
    return out;
  }

  [[no_unique_address]] Parse parse_;
};

/// Reads a section of a program's own from a value, such as `Model::model_args`: unknown keys,
/// types and ranges are checked as those of the library.
///
///     Optimizer optimizer;
///     config::read_section(model.model_args, optimizer, "models.policy.model_args");
///
/// Errors: invalid_argument with place, path, value and what is accepted.
template <IsSection Section>
void read_section(Value const& from, Section& out, std::string const& path) {
  if (from.kind != Kind::null) {
    Reader<>().section(from, out, path);
  }
}

}  // namespace rlhf::inline v0::config
