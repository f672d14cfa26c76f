/// @file
/// A JSON Lines file of any size as a dataset: mapped, indexed, decoded item by item. Layer:
/// adapters.
#pragma once

#include <rlhf/adapters/jsonl.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/thread_group.hpp>
#include <rlhf/data/fingerprint.hpp>
#include <rlhf/data/line_index.hpp>
#include <rlhf/data/mapped_file.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::adapters {

/// What to do with lines that are not a JSON object in UTF-8.
enum class BadLines : std::uint8_t {
  error,  ///< An error that names file, line and reason: at once with `validate`, else when met.
  skip,   ///< Left out and counted. Reads every line when the file is opened.
};

struct JsonlOptions {
  BadLines bad_lines = BadLines::error;
  bool validate = false;  ///< Reads every line when the file is opened, and refuses bad ones.
  int threads = 1;        ///< That index and validate. The result is the same.
};

/// A line that was left out.
struct BadLine {
  std::int64_t line = 0;  ///< From 1.
  std::string reason;
};

/// Items are the rows themselves. See `JsonlDataset`.
struct DecodeRow {
  [[nodiscard]] JsonlRow operator()(JsonlRow row) const { return row; }
};

/// Rows of a JSON Lines file, each one object; blank lines are left out. Models Dataset.
///
///     adapters::JsonlDataset prompts("prompts.jsonl", {}, [](adapters::JsonlRow const& row) {
///       return Prompt{row.string("prompt"), row.string_or_number("answer")};
///     });
///
/// Opening looks for line ends only (`data::LineIndex`). A line is decoded when its item is asked
/// for, UTF-8 and JSON are checked then, and what `Decode` gives is the item.
/// @tparam Decode Called from any thread that asks for items; must give the same for the same row.
/// Cost: 8 bytes of memory a line; the file itself stays in the page cache. Files are as in
/// `data::MappedFile`: do not make them shorter while they are open.
/// Thread safety: reading from any number of threads.
template <class Decode = DecodeRow>
class JsonlDataset {
 public:
  /// Errors: io; invalid_argument for a file without rows, or, with `validate`, the first bad line.
  explicit JsonlDataset(std::string path, JsonlOptions const& options = {}, Decode decode = {})
      : file_(std::move(path)),
        path_(std::make_unique<std::string const>(file_.path())),
        lines_(file_.content(), options.threads),
        decode_(std::move(decode)) {
    if (options.validate || options.bad_lines == BadLines::skip) {
      validate(options);
    }
    if (size() == 0) {
      fail(Errc::invalid_argument,
           text(file_.path(), " has no ", skipped_ > 0 ? "good rows" : "rows",
                "; every line must hold one JSON object",
                skipped_ > 0
                    ? text(", and line ", bad_.front().line, " does not: ", bad_.front().reason)
                    : std::string()));
    }
  }

  [[nodiscard]] std::string const& path() const noexcept { return file_.path(); }
  [[nodiscard]] std::int64_t size() const noexcept { return lines_.size(); }

  /// Decodes item `i`. A row must not outlive the dataset, but for a move of it.
  ///
  /// Errors: invalid_argument for an index that is none, and, naming file and line, for a line
  /// that is not a JSON object in UTF-8; what `Decode` throws passes through, but errors of
  /// nlohmann/json become `Error`s that name file and line.
  [[nodiscard]] decltype(auto) operator[](std::int64_t i) const {
    if (i < 0 || i >= size()) {
      fail(Errc::invalid_argument,
           text("item ", i, " of ", path(), " does not exist; it has ", size(), " items"));
    }
    try {
      return decode_(row(i));
    } catch (nlohmann::json::exception const& error) {
      bad(i, detail::reason_of(error));
    }
  }
  /// The text of item `i`, and the number of its line.
  [[nodiscard]] std::string_view line(std::int64_t i) const noexcept {
    return lines_.line(file_.content(), i);
  }
  [[nodiscard]] std::int64_t line_number(std::int64_t i) const { return lines_.line_number(i); }

  /// Lines left out because they are bad, and the first of them, at most 16.
  [[nodiscard]] std::int64_t skipped() const noexcept { return skipped_; }
  [[nodiscard]] std::vector<BadLine> const& bad_lines() const noexcept { return bad_; }

  /// Of the file's size, the number of items and a sample of their lines; see
  /// `data::sampled_fingerprint`. The name of the file does not count, nor does `Decode`.
  [[nodiscard]] std::uint64_t fingerprint() const {
    std::uint64_t const items =
        data::sampled_fingerprint(size(), [&, this](std::int64_t i) { return line(i); });
    return Fingerprint().add(static_cast<std::uint64_t>(file_.content().size())).add(items).value();
  }

 private:
  static constexpr std::size_t most_named = 16;

  [[noreturn]] void bad(std::int64_t i, std::string_view reason) const {
    fail(Errc::invalid_argument, text(path(), ", line ", line_number(i), ": ", reason));
  }
  [[nodiscard]] JsonlRow row(std::int64_t i) const {
    JsonlRow found(nlohmann::json::parse(line(i)), *path_, line_number(i));
    if (!found.value().is_object()) {
      found.bad(detail::not_an_object(found.value()));
    }
    return found;
  }
  /// Why a line is bad. Empty for a good one.
  [[nodiscard]] static std::string fault(std::string_view line) {
    std::size_t const first = line.find_first_not_of(" \t\r\xef\xbb\xbf");
    if (first != line.npos && line[first] == '{' && nlohmann::json::accept(line)) {
      return {};
    }
    try {
      return detail::not_an_object(nlohmann::json::parse(line));
    } catch (nlohmann::json::exception const& error) {
      return detail::reason_of(error);
    }
  }

  /// Threads look at parts of the lines; the first bad line is the same whatever their number.
  struct Check {
    struct Part {
      std::vector<std::int64_t> bad;
      std::exception_ptr error;
    };
    void operator()(int index) noexcept {
      Part& part = parts[static_cast<std::size_t>(index)];
      try {
        IndexRange const range =
            split_evenly(dataset->size(), static_cast<std::int64_t>(parts.size()), index);
        for (std::int64_t i = range.begin; i < range.end; ++i) {
          if (!fault(dataset->line(i)).empty()) {
            part.bad.push_back(i);
            if (first_only) {
              return;
            }
          }
        }
      } catch (...) {
        part.error = std::current_exception();
      }
    }
    JsonlDataset const* dataset;
    bool first_only;
    std::vector<Part> parts;
  };
  void validate(JsonlOptions const& options) {
    Check check{this, options.bad_lines == BadLines::error, {}};
    check.parts.resize(static_cast<std::size_t>(options.threads));
    {
      ThreadGroup<Check> others(check);
      others.start(options.threads - 1);
      check(options.threads - 1);
    }
    std::vector<std::int64_t> found;
    for (typename Check::Part const& part : check.parts) {
      if (part.error) {
        std::rethrow_exception(part.error);
      }
      found.insert(found.end(), part.bad.begin(), part.bad.end());
    }
    if (!found.empty() && options.bad_lines == BadLines::error) {
      bad(found.front(), fault(line(found.front())));
    }
    for (std::size_t i = 0; i < found.size() && i < most_named; ++i) {
      bad_.push_back(BadLine{line_number(found[i]), fault(line(found[i]))});
    }
    skipped_ = static_cast<std::int64_t>(found.size());
    lines_.leave_out(found);
  }

  data::MappedFile file_;
  std::unique_ptr<std::string const> path_;  // stays where it is when the dataset is moved
  data::LineIndex lines_;
  Decode decode_;
  std::int64_t skipped_ = 0;
  std::vector<BadLine> bad_;
};

}  // namespace rlhf::inline v0::adapters
