/// @file
/// Settings as they were written: a tree of values that know where they stand. Layer: config.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::config {

enum class Kind : std::uint8_t { null, boolean, integer, real, text, list, section };

/// A value of a file, of the environment or of the command line; what readers of file formats
/// make, and what a section of a user's own keys (`Model::model_args`) is kept as.
///
/// Thread safety: a plain value.
struct Value {
  Kind kind = Kind::null;
  bool boolean = false;
  bool raw = false;  ///< A text from the environment or the command line: what its setting wants.
  std::int64_t integer = 0;
  double real = 0;
  std::string text{};          ///< Of texts; of reals: as they were written.
  std::string key{};           ///< In a section: its name.
  std::string place{};         ///< `run.json:12`, `--set runtime.seed=1`.
  std::vector<Value> items{};  ///< Of lists and sections, in order.

  /// Equal contents, wherever they were written.
  [[nodiscard]] bool operator==(Value const& other) const {
    return kind == other.kind && key == other.key && boolean == other.boolean &&
           integer == other.integer && same_real(other) &&
           (kind != Kind::text || text == other.text) && items == other.items;
  }

  /// The value under a key of a section, or null.
  [[nodiscard]] Value const* find(std::string_view name) const {
    for (Value const& item : items) {
      if (kind == Kind::section && item.key == name) {
        return &item;
      }
    }
    return nullptr;
  }
  [[nodiscard]] Value* find(std::string_view name) {
    return const_cast<Value*>(static_cast<Value const*>(this)->find(name));
  }

 private:
  [[nodiscard]] bool same_real(Value const& other) const {
    return !(real < other.real) && !(real > other.real);
  }
};

[[nodiscard]] inline Value text_value(std::string_view text) {
  Value value;
  value.kind = Kind::text;
  value.text = text;
  return value;
}

/// Sets where a value and all within it stand.
inline void put_place(Value& value, std::string const& place) {
  value.place = place;
  for (Value& item : value.items) {
    put_place(item, place);
  }
}

/// A number as text that gives exactly it back.
[[nodiscard]] inline std::string exact_text(double number) {
  char room[32];
  std::snprintf(room, sizeof room, "%.17g", number);
  return room;
}

/// A value as messages show it: one line, at most 60 letters, texts in quotes.
[[nodiscard]] inline std::string show(Value const& value) {
  constexpr std::size_t most = 60;
  std::string out;
  switch (value.kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return value.boolean ? "true" : "false";
    case Kind::integer:
      return std::to_string(value.integer);
    case Kind::real:
      return value.text.substr(0, most);
    case Kind::section:
      return "a section";
    case Kind::list:
      for (Value const& item : value.items) {
        out += (out.empty() ? "" : ", ") + show(item);
        if (out.size() > most) {
          break;
        }
      }
      return "[" + (out.size() > most ? out.substr(0, most) + "..." : out) + "]";
    case Kind::text:
      break;
  }
  std::size_t end = value.text.size() < most ? value.text.size() : most;
  while (end < value.text.size() && end > 0 &&
         (static_cast<unsigned char>(value.text[end]) & 0xC0U) == 0x80U) {
    --end;  // not within a letter of UTF-8
  }
  for (char const letter : value.text.substr(0, end)) {
    out += static_cast<unsigned char>(letter) < 32 ? ' ' : letter;
  }
  return "\"" + out + (value.text.size() > end ? "...\"" : "\"");
}

}  // namespace rlhf::inline v0::config
