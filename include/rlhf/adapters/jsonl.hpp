/// @file
/// Rows of JSON Lines files, with errors that name file and line. Layer: adapters.
///
/// The only header that includes nlohmann/json.
#pragma once

#include <rlhf/checkpoint/lines.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::adapters {

/// One line of a file: a JSON object, and where it was found. Keeps a view of the path.
class JsonlRow {
 public:
  JsonlRow(nlohmann::json value, std::string_view path, std::int64_t line)
      : value_(std::move(value)),
        path_(path),
        line_(line) {}

  [[nodiscard]] nlohmann::json const& value() const noexcept { return value_; }
  [[nodiscard]] std::int64_t line() const noexcept { return line_; }

  /// The value under a key. Errors: invalid_argument when there is none.
  [[nodiscard]] nlohmann::json const& at(char const* key) const {
    auto const found = value_.find(key);
    if (found == value_.end()) {
      bad(text("the key \"", key, "\" is missing"));
    }
    return *found;
  }
  /// The string under a key. Errors: invalid_argument when it is none.
  [[nodiscard]] std::string const& string(char const* key) const {
    nlohmann::json const& found = at(key);
    if (!found.is_string()) {
      bad(text("\"", key, "\" must be a string, it is ", kind_of(found)));
    }
    return found.get_ref<std::string const&>();
  }
  /// The string under a key, or the number there as the file writes numbers: 42, 0.5.
  [[nodiscard]] std::string string_or_number(char const* key) const {
    nlohmann::json const& found = at(key);
    if (found.is_number()) {
      return found.dump();
    }
    if (!found.is_string()) {
      bad(text("\"", key, "\" must be a string or a number, it is ", kind_of(found)));
    }
    return found.get<std::string>();
  }
  /// Throws `Error{invalid_argument}`: `<path>, line <n>: <reason>`.
  [[noreturn]] void bad(std::string_view reason) const {
    fail(Errc::invalid_argument, text(path_, ", line ", line_, ": ", reason));
  }

  [[nodiscard]] static std::string_view kind_of(nlohmann::json const& value) noexcept {
    return value.type_name();
  }

 private:
  nlohmann::json value_;
  std::string_view path_;
  std::int64_t line_;
};

namespace detail {

/// What nlohmann/json says is wrong, without its `[json.exception.parse_error.101]`, and printable:
/// it quotes the line, whatever bytes that holds.
[[nodiscard]] inline std::string reason_of(nlohmann::json::exception const& error) {
  std::string_view const words = error.what();
  std::size_t const end = words.find("] ");
  std::string reason(end == words.npos ? words : words.substr(end + 2));
  constexpr std::string_view inner = " at line 1,";  // of the text it was given, which is one line
  if (std::size_t const at = reason.find(inner); at != reason.npos) {
    reason.replace(at, inner.size(), " at");
  }
  if (reason.size() > 300) {
    reason.replace(300, reason.npos, "...");
  }
  for (char& c : reason) {
    c = c >= ' ' && c <= '~' ? c : '?';
  }
  return reason;
}

/// What is said of a line that holds JSON, but no object.
[[nodiscard]] inline std::string not_an_object(nlohmann::json const& value) {
  return text("expected an object like {\"prompt\": ...}, found ", JsonlRow::kind_of(value));
}

}  // namespace detail

/// Calls `row(JsonlRow const&)` for each line of a file; every line holds one JSON object. Lines
/// that are empty or blank are left out; lines may end in LF or CRLF.
///
/// Cost: one line in memory at a time.
/// Errors: io when the file cannot be read; invalid_argument, naming file and line, for a line that
/// is not JSON in UTF-8 or not an object, and for a file without rows. What `row` throws passes
/// through, but errors of nlohmann/json become `Error`s that name the line.
template <class Row>
  requires requires(Row& row, JsonlRow const& parsed) {
    row(parsed);
  }
void read_jsonl(std::string const& path, Row&& row) {
  std::int64_t number = 0;
  std::int64_t rows = 0;
  checkpoint::for_each_line(path, [&](std::string_view line) {
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) {
      return;
    }
    ++rows;
    try {
      JsonlRow const parsed(nlohmann::json::parse(line), path, number);
      if (!parsed.value().is_object()) {
        parsed.bad(detail::not_an_object(parsed.value()));
      }
      row(parsed);
    } catch (nlohmann::json::exception const& error) {
      fail(Errc::invalid_argument, text(path, ", line ", number, ": ", detail::reason_of(error)));
    }
  });
  if (rows == 0) {
    fail(Errc::invalid_argument, text(path, " has no rows; every line must hold one JSON object"));
  }
}

/// All rows of a file. Errors: as above.
[[nodiscard]] inline std::vector<nlohmann::json> read_jsonl(std::string const& path) {
  std::vector<nlohmann::json> rows;
  read_jsonl(path, [&](JsonlRow const& row) { rows.push_back(row.value()); });
  return rows;
}

/// A question and what a good answer to it is.
struct PromptAnswer {
  std::string prompt;
  std::string answer;

  bool operator==(PromptAnswer const&) const = default;
};

/// Rows `{"prompt": "...", "answer": "..."}`; the answer may be a number, other keys do not matter.
///
/// Errors: as `read_jsonl`, also for a row without these keys or with others' types.
[[nodiscard]] inline std::vector<PromptAnswer> read_prompt_answers(std::string const& path) {
  std::vector<PromptAnswer> rows;
  read_jsonl(path, [&](JsonlRow const& row) {
    rows.push_back(PromptAnswer{row.string("prompt"), row.string_or_number("answer")});
  });
  return rows;
}

}  // namespace rlhf::inline v0::adapters
