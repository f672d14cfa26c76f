/// @file
/// Small text files that say what they are and notice when they were damaged. Layer: data.
///
///     <format> <version>
///     <key> = <value>
///     ...
///     checksum = <16 hexadecimal digits>
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::data {

/// Sixteen hexadecimal digits.
template <class = void>
[[nodiscard]] std::string hex_text(std::uint64_t value) {
  std::string out(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) {
    out[i] = "0123456789abcdef"[value & 15];
  }
  return out;
}

/// Reads all of `digits` as an unsigned number; false unless it is one that fits, written plainly.
template <class = void>
[[nodiscard]] bool parse_number(std::string_view digits, std::uint64_t& out) {
  if (digits.empty() || (digits.size() > 1 && digits[0] == '0')) {
    return false;
  }
  std::uint64_t value = 0;
  for (char const c : digits) {
    if (c < '0' || c > '9' || __builtin_mul_overflow(value, std::uint64_t{10}, &value) ||
        __builtin_add_overflow(value, static_cast<std::uint64_t>(c - '0'), &value)) {
      return false;
    }
  }
  out = value;
  return true;
}

/// Reads exactly sixteen hexadecimal digits; false unless that is all of `digits`.
template <class = void>
[[nodiscard]] bool parse_hex(std::string_view digits, std::uint64_t& out) {
  if (digits.size() != 16) {
    return false;
  }
  std::uint64_t value = 0;
  for (char const c : digits) {
    bool const decimal = c >= '0' && c <= '9';
    if (!decimal && !(c >= 'a' && c <= 'f')) {
      return false;
    }
    value = (value << 4) | static_cast<std::uint64_t>(decimal ? c - '0' : c - 'a' + 10);
  }
  out = value;
  return true;
}

/// Builds such a text.
class TextRecordWriter {
 public:
  template <class = void>
  TextRecordWriter(std::string_view format, std::int64_t version)
      : text_(text(format, " ", version, "\n")) {}

  /// One line: the key and the values, separated by spaces. Errors: invalid_argument when a value
  /// contains a line break.
  template <class... Values>
  TextRecordWriter& field(std::string_view key, Values const&... values) {
    return line(text(key, " ="), word(text(values))...);
  }
  template <class Value>
  TextRecordWriter& list(std::string_view key, std::vector<Value> const& values) {
    std::string words;
    for (Value const& value : values) {
      words += text(" ", value);
    }
    return line(text(key, " ="), words);
  }
  /// The whole text with its checksum.
  template <class = void>
  [[nodiscard]] std::string finish() {
    return text_ + "checksum = " + hex_text(Fingerprint().add(text_).value()) + "\n";
  }

 private:
  template <class = void>
  [[nodiscard]] static std::string word(std::string const& value) {
    return value.empty() ? value : " " + value;
  }
  template <class... Parts>
  TextRecordWriter& line(Parts const&... parts) {
    std::string const added = text(parts...);
    expects(added.find('\n') == std::string::npos, "a value must not contain a line break");
    text_ += added + '\n';
    return *this;
  }

  std::string text_;
};

/// Reads such a text, line by line, in the order in which it was written.
///
/// Every error names `origin` (a path), the line and what was expected there. Errors: corrupted
/// when the text is not what a writer wrote, invalid_argument when a newer version wrote it. Every
/// version ends in the checksum, which is looked at first: a damaged version number is damage.
class TextRecordReader {
 public:
  /// Checks the first line, the checksum, and the version. Keeps views of `text` and `origin`.
  template <class = void>
  TextRecordReader(std::string_view text, std::string_view format, std::int64_t newest_version,
                   std::string_view origin)
      : text_(text),
        origin_(origin) {
    line_ = take_line();
    if (line_.substr(0, format.size()) != format || line_.substr(format.size(), 1) != " ") {
      bad("this is no ", format, ", which would say so here");
    }
    std::uint64_t version = 0;
    if (!parse_number(line_.substr(format.size() + 1), version) || version == 0) {
      bad("there is no version number behind ", format);
    }
    check_sum();
    if (version > static_cast<std::uint64_t>(newest_version)) {
      fail(Errc::invalid_argument,
           rlhf::text(origin_, " is a ", format, " of version ", version, ", this program reads ",
                      "versions up to ", newest_version, "; use the newer program that wrote it"));
    }
    version_ = static_cast<std::int64_t>(version);
    advance();
  }

  [[nodiscard]] std::int64_t version() const noexcept { return version_; }
  /// Whether the next line has this key.
  template <class = void>
  [[nodiscard]] bool at(std::string_view key) const noexcept {
    return !ended_ && key_ == key;
  }

  /// The value of the next line, which must have this key.
  template <class = void>
  [[nodiscard]] std::string_view next(std::string_view key) {
    if (ended_) {
      bad("the key '", key, "' is missing");
    }
    if (key_ != key) {
      bad("expected the key '", key, "', found '", key_, "'");
    }
    std::string_view const value = value_;
    advance();
    return value;
  }
  /// A number from 0 to 2^63 - 1.
  template <class = void>
  [[nodiscard]] std::int64_t next_count(std::string_view key) {
    std::uint64_t const value = next_number(key);
    if (value > static_cast<std::uint64_t>(INT64_MAX)) {
      bad_value(key, "a number below 2^63");
    }
    return static_cast<std::int64_t>(value);
  }
  /// A number from 0 to 2^64 - 1.
  template <class = void>
  [[nodiscard]] std::uint64_t next_number(std::string_view key) {
    std::uint64_t value = 0;
    if (!parse_number(next(key), value)) {
      bad_value(key, "a number");
    }
    return value;
  }
  /// Reports a value of the line last read that is not what it has to be.
  template <class = void>
  [[noreturn]] void bad_value(std::string_view key, std::string_view expected) const {
    fail(Errc::corrupted, rlhf::text(origin_, ": the value of '", key, "' is not ", expected));
  }
  /// Requires that all lines were read.
  template <class = void>
  void finish() const {
    if (!ended_) {
      bad("unknown key '", key_, "'");
    }
  }

 private:
  template <class... Parts>
  [[noreturn]] void bad(Parts const&... parts) const {
    fail(Errc::corrupted, rlhf::text(origin_, ", line ", line_number_, ": ", parts...));
  }
  template <class = void>
  [[nodiscard]] std::string_view take_line() {
    std::size_t const end = text_.find('\n', position_);
    ++line_number_;
    if (end == std::string_view::npos) {
      bad(text_.empty() ? "the file is empty" : "the file is truncated, the line does not end");
    }
    std::string_view const line = text_.substr(position_, end - position_);
    position_ = end + 1;
    return line;
  }
  template <class = void>
  void check_sum() {
    constexpr std::string_view label = "checksum = ";
    constexpr std::size_t length = label.size() + 17;
    std::uint64_t stored = 0;
    if (text_.size() < position_ + length || text_.back() != '\n' ||
        text_.substr(text_.size() - length, label.size()) != label ||
        !parse_hex(text_.substr(text_.size() - 17, 16), stored)) {
      fail(Errc::corrupted,
           rlhf::text(origin_, " is truncated: its last line is not a checksum; use another copy"));
    }
    text_.remove_suffix(length);
    if (Fingerprint().add(text_).value() != stored) {
      fail(Errc::corrupted,
           rlhf::text(origin_, " was damaged or edited: its checksum does not fit ",
                      "its content; use another copy"));
    }
  }
  template <class = void>
  void advance() {
    if (position_ >= text_.size()) {
      ended_ = true;
      return;
    }
    line_ = take_line();
    std::size_t const split = line_.find(" =");
    if (split == std::string_view::npos || split == 0) {
      bad("expected '<key> = <value>'");
    }
    key_ = line_.substr(0, split);
    value_ = line_.substr(split + 2);
    if (!value_.empty()) {
      if (value_[0] != ' ' || value_.size() == 1) {
        bad("expected '<key> = <value>'");
      }
      value_.remove_prefix(1);
    }
  }

  std::string_view text_;
  std::string_view origin_;
  std::string_view line_;
  std::string_view key_;
  std::string_view value_;
  std::size_t position_ = 0;
  std::int64_t line_number_ = 0;
  std::int64_t version_ = 0;
  bool ended_ = false;
};

}  // namespace rlhf::inline v0::data
