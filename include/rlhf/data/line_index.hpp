/// @file
/// Where the lines of a text begin. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/core/thread_group.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// The lines of a text that hold more than spaces and tabs, by number. Keeps no view of the text.
///
/// Lines end in LF or CRLF; the last one may lack its end. Only line ends are looked for, so
/// building it costs one pass of memchr at the speed at which the text can be read, and 8 bytes a
/// line. With several threads each takes a part of the text; the index is the same.
/// Thread safety: reading from any number of threads.
class LineIndex {
 public:
  LineIndex() = default;
  /// Errors: invalid_argument for threads < 1; io when the system refuses a thread.
  explicit LineIndex(std::string_view content, int threads = 1) : end_(content.size()) {
    expects(threads >= 1, "the number of threads that index lines must be 1 or more");
    // Below a megabyte a thread is not worth its start.
    std::size_t const worth = content.size() / (std::size_t{1} << 20) + 1;
    std::size_t const count =
        static_cast<std::size_t>(threads) < worth ? static_cast<std::size_t>(threads) : worth;
    Scan scan(content, count);
    {
      ThreadGroup<Scan> others(scan);
      others.start(static_cast<int>(count) - 1);
      scan(static_cast<int>(count) - 1);
    }
    for (Part& part : scan.parts) {
      if (part.error) {
        std::rethrow_exception(part.error);
      }
      if (begins_.empty() && blanks_.empty()) {
        begins_.swap(part.begins);
        blanks_.swap(part.blanks);
        continue;
      }
      for (std::int64_t const blank : part.blanks) {
        blanks_.push_back(size() + blank);
      }
      begins_.insert(begins_.end(), part.begins.begin(), part.begins.end());
    }
  }

  /// Lines that are not blank.
  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(begins_.size());
  }
  /// Lines of the text, blank ones too.
  [[nodiscard]] std::int64_t line_count() const noexcept {
    return size() + static_cast<std::int64_t>(blanks_.size());
  }
  /// Line `i`, 0 <= i < size(), without its end. `content` is what the index was made of.
  [[nodiscard]] std::string_view line(std::string_view content, std::int64_t i) const noexcept {
    std::size_t const at = static_cast<std::size_t>(i);
    std::size_t const begin = begins_[at];
    std::size_t const limit = at + 1 < begins_.size() ? begins_[at + 1] : end_;
    std::string_view found = content.substr(begin, limit - begin);
    found = found.substr(0, found.find('\n'));  // blank lines may follow
    return found.ends_with('\r') ? found.substr(0, found.size() - 1) : found;
  }
  /// The number that editors show for line `i`: from 1, blank lines counted. Cost: a binary search.
  [[nodiscard]] std::int64_t line_number(std::int64_t i) const {
    return i + 1 +
           static_cast<std::int64_t>(rlhf::detail::first_not(
               blanks_, [i](std::int64_t follower) { return follower <= i; }));
  }
  /// Leaves out lines, given by their index in rising order, as if they were blank.
  void leave_out(std::vector<std::int64_t> const& lines) {
    if (lines.empty()) {
      return;
    }
    std::vector<std::int64_t> blanks;
    blanks.reserve(blanks_.size() + lines.size());
    std::size_t next = 0;   // of lines
    std::size_t blank = 0;  // of blanks_
    std::size_t kept = 0;
    for (std::size_t i = 0; i <= begins_.size(); ++i) {
      for (; blank < blanks_.size() && blanks_[blank] == static_cast<std::int64_t>(i); ++blank) {
        blanks.push_back(static_cast<std::int64_t>(kept));
      }
      if (i == begins_.size()) {
        break;
      }
      if (next < lines.size() && lines[next] == static_cast<std::int64_t>(i)) {
        blanks.push_back(static_cast<std::int64_t>(kept));
        ++next;
      } else {
        begins_[kept++] = begins_[i];
      }
    }
    begins_.resize(kept);
    blanks_.swap(blanks);
  }

 private:
  struct Part {
    std::vector<std::size_t> begins;
    std::vector<std::int64_t> blanks;
    std::exception_ptr error;
  };
  /// Finds the lines that begin in each of several parts of the text.
  struct Scan {
    Scan(std::string_view whole, std::size_t count) : content(whole), parts(count) {}

    void operator()(int index) noexcept {
      Part& part = parts[static_cast<std::size_t>(index)];
      try {
        IndexRange const range = split_evenly(static_cast<std::int64_t>(content.size()),
                                              static_cast<std::int64_t>(parts.size()), index);
        find(part, static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.end));
      } catch (...) {
        part.error = std::current_exception();
      }
    }
    void find(Part& part, std::size_t begin, std::size_t end) const {
      char const* const data = content.data();
      std::size_t at = begin;
      if (at > 0 && data[at - 1] != '\n') {  // a line that began in an earlier part
        at = after(at);
      }
      // As many as the beginning suggests, so that the vector seldom has to move.
      std::size_t const sample = begin + (end - begin) / 64;
      while (at < end) {
        std::size_t const next = after(at);
        char const first = data[at];
        if (first > ' ' || !is_blank(content.substr(at, next - at))) {
          part.begins.push_back(at);
        } else {
          part.blanks.push_back(static_cast<std::int64_t>(part.begins.size()));
        }
        if (at < sample && next >= sample) {
          std::size_t const guess = part.begins.size() * 66 + 64;
          std::size_t const most = (end - begin) / 32 + 64;
          part.begins.reserve(guess < most ? guess : most);
        }
        at = next;
      }
    }
    [[nodiscard]] std::size_t after(std::size_t at) const noexcept {
      void const* const found = std::memchr(content.data() + at, '\n', content.size() - at);
      return found == nullptr
                 ? content.size()
                 : static_cast<std::size_t>(static_cast<char const*>(found) - content.data()) + 1;
    }
    [[nodiscard]] static bool is_blank(std::string_view line) noexcept {
      return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
    }

    std::string_view content;
    std::vector<Part> parts;
  };

  std::vector<std::size_t> begins_;
  std::vector<std::int64_t> blanks_;  ///< For each blank line, the index of the line behind it.
  std::size_t end_ = 0;
};

}  // namespace rlhf::inline v0::data
