/// @file
/// JSON text to values that know their lines, and back. Layer: adapters.
#pragma once

#include <rlhf/config/value.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::adapters::detail {

/// Reads a text and tells how far the parser is.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = char const*;
  using reference = char const&;

  char const* at = nullptr;
  char const** read = nullptr;  ///< Behind the last letter that was taken.

  reference operator*() const noexcept { return *at; }
  CountingIterator& operator++() noexcept {
    ++at;
    *read = at;
    return *this;
  }
  CountingIterator operator++(int) noexcept {
    CountingIterator const before = *this;
    ++*this;
    return before;
  }
  bool operator==(CountingIterator const& other) const noexcept { return at == other.at; }
};

/// Builds values from the events of nlohmann's parser, each with the line where it begins; members
/// of sections have the line of their key.
class ValueBuilder {
 public:
  static constexpr std::size_t most_depth = 32;
  static constexpr std::size_t most_keys = 4096;

  ValueBuilder(std::string_view content, std::string_view origin)
      : content_(content),
        origin_(origin),
        read_(content.data()),
        counted_(content.data()) {}

  [[nodiscard]] config::Value build() {
    if (content_.size() > (std::size_t{1} << 22)) {
      fail(Errc::invalid_argument, text("config ", origin_, " is larger than 4 MiB"));
    }
    char const* const end = content_.data() + content_.size();
    nlohmann::json::sax_parse(CountingIterator{content_.data(), &read_},
                              CountingIterator{end, &read_}, this,
                              nlohmann::json::input_format_t::json, true, true);
    return std::move(root_);
  }

  // What nlohmann's parser calls.
  bool null() { return add({}); }
  bool boolean(bool value) {
    config::Value one;
    one.kind = config::Kind::boolean;
    one.boolean = value;
    return add(std::move(one));
  }
  bool number_integer(std::int64_t value) {
    config::Value one;
    one.kind = config::Kind::integer;
    one.integer = value;
    return add(std::move(one));
  }
  bool number_unsigned(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(INT64_MAX)) {
      return number_float(static_cast<double>(value), std::to_string(value));
    }
    return number_integer(static_cast<std::int64_t>(value));
  }
  bool number_float(double value, std::string const& written) {
    config::Value one;
    one.kind = config::Kind::real;
    one.real = value;
    one.text = written;
    return add(std::move(one));
  }
  bool string(std::string& value) { return add(config::text_value(value)); }
  static bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(config::Kind::section); }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(config::Kind::list); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    config::Value& section = *open_.back();
    if (section.items.size() >= most_keys) {
      fail(Errc::invalid_argument,
           text("config ", place(), ": a section has more than ", most_keys, " keys"));
    }
    if (config::Value const* const twice = section.find(name)) {
      fail(Errc::invalid_argument,
           text("config ", place(), ": the key \"", std::string_view(name).substr(0, 40),
                "\" is in this section twice, first at ", twice->place));
    }
    config::Value& item = section.items.emplace_back();
    item.key = name;
    item.place = place();
    return true;
  }
  bool parse_error(std::size_t, std::string const&, nlohmann::json::exception const& error) {
    std::string_view why = error.what();
    if (error.id == 406) {
      fail(Errc::invalid_argument,
           text("config ", place(), ": a number is out of the range of numbers"));
    }
    // What is behind " - " in "[...] parse error at line 1, column 2: ... - unexpected ','; ..."
    std::size_t const begin = why.find(" - ");
    why = begin == std::string_view::npos ? "the parser does not say why" : why.substr(begin + 3);
    fail(Errc::invalid_argument, text("config ", place(), ": is not JSON: ", why.substr(0, 200)));
  }

 private:
  /// The line of the last token. The parser has read all of it, and one letter more of numbers.
  [[nodiscard]] std::string place() {
    for (char const* const last = read_ - 1; counted_ < last; ++counted_) {
      line_ += *counted_ == '\n' ? 1U : 0U;
    }
    return text(origin_, ":", line_);
  }

  bool add(config::Value one) {
    if (open_.empty()) {
      root_ = std::move(one);
      root_.place = place();
    } else if (open_.back()->kind == config::Kind::section) {
      config::Value& item = open_.back()->items.back();
      one.key = std::move(item.key);
      one.place = std::move(item.place);
      item = std::move(one);
    } else {
      one.place = place();
      open_.back()->items.push_back(std::move(one));
    }
    return true;
  }
  bool open(config::Kind kind) {
    if (open_.size() >= most_depth) {
      fail(Errc::invalid_argument,
           text("config ", place(), ": is nested deeper than ", most_depth, " levels"));
    }
    config::Value one;
    one.kind = kind;
    add(std::move(one));
    open_.push_back(open_.empty() ? &root_ : &open_.back()->items.back());
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view content_;
  std::string_view origin_;
  char const* read_;
  char const* counted_;
  std::size_t line_ = 1;
  config::Value root_{};
  std::vector<config::Value*> open_{};  // a container's address is fixed while it is open
};

/// JSON with comments as values. Errors: invalid_argument with file and line.
[[nodiscard]] inline config::Value values_of(std::string_view content, std::string_view origin) {
  return ValueBuilder(content, origin).build();
}

/// The value that a raw text writes: JSON, or false where it is none.
struct ParseRaw {
  bool operator()(std::string_view content, config::Value& out) const {
    if (!nlohmann::json::accept(content.begin(), content.end())) {
      return false;
    }
    try {
      out = ValueBuilder(content, "").build();
    } catch (Error const&) {  // too deep, or a key twice
      return false;
    }
    return true;
  }
};

/// A value as JSON, indented by two spaces a level. `${` in texts is written `$${`, so that reading
/// gives it back. Errors: invalid_argument for texts that are not UTF-8.
class JsonWriter {
 public:
  [[nodiscard]] std::string write(config::Value const& value) {
    put(value, 0);
    return std::move(out_) + "\n";
  }

 private:
  void put(config::Value const& value, std::size_t level) {
    switch (value.kind) {
      case config::Kind::null:
        out_ += "null";
        break;
      case config::Kind::boolean:
        out_ += value.boolean ? "true" : "false";
        break;
      case config::Kind::integer:
        out_ += std::to_string(value.integer);
        break;
      case config::Kind::real:
        out_ += nlohmann::json(value.real).dump();
        break;
      case config::Kind::text:
        put_text(value.text);
        break;
      case config::Kind::list:
        put_items(value, level, '[', ']');
        break;
      case config::Kind::section:
        put_items(value, level, '{', '}');
        break;
    }
  }
  void put_items(config::Value const& value, std::size_t level, char open, char close) {
    out_ += open;
    bool const lines = value.kind == config::Kind::section;
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      out_ += i == 0 ? "" : ",";
      if (lines) {
        out_ += "\n" + std::string(2 * level + 2, ' ');
        put_text(value.items[i].key, false);
        out_ += ": ";
      } else if (i > 0) {
        out_ += " ";
      }
      put(value.items[i], level + 1);
    }
    if (lines && !value.items.empty()) {
      out_ += "\n" + std::string(2 * level, ' ');
    }
    out_ += close;
  }
  void put_text(std::string_view from, bool escape = true) {
    std::string text;
    for (std::size_t i = 0; i < from.size(); ++i) {
      if (escape && from.substr(i).starts_with("${")) {
        text += '$';
      }
      text += from[i];
    }
    try {
      out_ += nlohmann::json(text).dump();
    } catch (nlohmann::json::exception const&) {
      fail(Errc::invalid_argument, text_error(from));
    }
  }
  [[nodiscard]] static std::string text_error(std::string_view from) {
    return text("config: a text of ", from.size(), " bytes is not UTF-8, so it cannot be written");
  }

  std::string out_{};
};

}  // namespace rlhf::inline v0::adapters::detail
