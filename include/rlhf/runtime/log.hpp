/// @file
/// A log of lines with level, rank and values. Layer: runtime.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include <time.h>
#include <unistd.h>

namespace rlhf::inline v0::runtime {

/// How much a message matters. A log shows its own level and above.
enum class LogLevel : std::uint8_t { debug, info, warning, error, off };

[[nodiscard]] constexpr std::string_view to_string(LogLevel level) noexcept {
  constexpr std::string_view names[] = {"debug", "info", "warning", "error", "off"};
  return names[static_cast<int>(level)];
}
/// The level of a name. Errors: invalid_argument naming the levels.
template <class = void>
[[nodiscard]] LogLevel log_level_of(std::string_view name) {
  for (LogLevel const level :
       {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error, LogLevel::off}) {
    if (to_string(level) == name) {
      return level;
    }
  }
  fail(Errc::invalid_argument,
       text("\"", name, "\" is no level of a log; use debug, info, warning, error or off"));
}

/// A value with a name at the end of a line: `kv("step", 3)` becomes `step=3`. Text with spaces,
/// quotes, `=` or line feeds is quoted. Texts must live until the line is written.
struct KeyValue {
  std::string_view key;
  rlhf::detail::TextPart value;
};
template <class T>
[[nodiscard]] KeyValue kv(std::string_view key, T const& value) noexcept {
  return {key, rlhf::detail::TextPart(value)};
}

/// Writes lines to a file descriptor, one `write` each, so that lines of threads and processes
/// that append to the same file, or to a pipe and are below 4096 bytes, do not mix.
///
/// A log never fails its program: what cannot be written is lost.
struct DescriptorSink final {
  int descriptor = 2;

  void operator()(std::string_view line) const noexcept {
    while (!line.empty()) {
      ssize_t const written = ::write(descriptor, line.data(), line.size());
      if (written < 0 && errno == EINTR) {
        continue;
      }
      if (written <= 0) {
        return;
      }
      line.remove_prefix(static_cast<std::size_t>(written));
    }
  }
};

/// Which rank writes, and as whom.
struct LogOptions {
  LogLevel level = LogLevel::info;
  int rank = -1;  ///< Of the world; -1 leaves it out, and counts as rank 0.
  int ranks = 0;
  std::string_view name;  ///< For example the module's; must outlive the log.
  bool time = true;       ///< Date and time (UTC, milliseconds) at the beginning.
};

/// A log of one rank.
///
///     rlhf::runtime::Log log({.rank = comm.rank(), .ranks = comm.size(), .name = "policy"});
///     log.info("saved", kv("step", 40), kv("path", path));
///     // 2026-01-02T03:04:05.678Z info    rank 3/8 policy: saved step=40 path=/runs/a
///
/// One message is one line: line feeds in it become `\n`. `Sink` is called with the line, its line
/// feed included: a `DescriptorSink`, or a function object of the user.
/// Cost: below its level one comparison, else one call of the sink; the line's memory is used
/// again. Thread safety: one caller; a rank has its own.
template <class Sink = DescriptorSink>
class BasicLog {
 public:
  explicit BasicLog(LogOptions options = {}, Sink sink = {}) : options_(options), sink_(sink) {}

  [[nodiscard]] LogLevel level() const noexcept { return options_.level; }
  void set_level(LogLevel level) noexcept { options_.level = level; }
  [[nodiscard]] bool shows(LogLevel level) const noexcept {
    return level >= options_.level && level != LogLevel::off;
  }

  template <class... Values>
  void write(LogLevel level, std::string_view message, Values const&... values) {
    if (shows(level)) {
      begin(level);
      append_escaped(message);
      (append_value(values), ...);
      line_ += '\n';
      sink_(std::string_view(line_));
    }
  }
  template <class... Values>
  void debug(std::string_view message, Values const&... values) {
    write(LogLevel::debug, message, values...);
  }
  template <class... Values>
  void info(std::string_view message, Values const&... values) {
    write(LogLevel::info, message, values...);
  }
  template <class... Values>
  void warning(std::string_view message, Values const&... values) {
    write(LogLevel::warning, message, values...);
  }
  template <class... Values>
  void error(std::string_view message, Values const&... values) {
    write(LogLevel::error, message, values...);
  }
  /// What one rank says for all: only rank 0 writes.
  template <class... Values>
  void log_rank_0(LogLevel level, std::string_view message, Values const&... values) {
    if (options_.rank <= 0) {
      write(level, message, values...);
    }
  }

 private:
  void begin(LogLevel level) {
    line_.clear();
    if (options_.time) {
      timespec now{};
      clock_gettime(CLOCK_REALTIME, &now);
      tm parts{};
      gmtime_r(&now.tv_sec, &parts);
      char room[96];
      int const size =
          std::snprintf(room, sizeof room, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ",
                        parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                        parts.tm_min, parts.tm_sec, static_cast<int>(now.tv_nsec / 1'000'000));
      line_.append(room, static_cast<std::size_t>(size));
    }
    std::string_view const word = to_string(level);
    line_ += word;
    line_.append(8 - word.size(), ' ');
    if (options_.rank >= 0) {
      line_ += "rank ";
      line_ += rlhf::detail::TextPart(options_.rank).view();
      if (options_.ranks > 0) {
        line_ += '/';
        line_ += rlhf::detail::TextPart(options_.ranks).view();
      }
      line_ += options_.name.empty() ? "" : " ";
    }
    line_ += options_.name;
    line_ += options_.rank >= 0 || !options_.name.empty() ? ": " : "";
  }
  void append_escaped(std::string_view words) {
    for (char const letter : words) {
      auto const code = static_cast<unsigned char>(letter);
      if (letter == '\n') {
        line_ += "\\n";
      } else if (letter == '\r') {
        line_ += "\\r";
      } else if (code < 0x20 && letter != '\t') {
        line_ += '?';
      } else {
        line_ += letter;
      }
    }
  }
  void append_value(KeyValue const& pair) {
    line_ += ' ';
    append_escaped(pair.key);
    line_ += '=';
    std::string_view const words = pair.value.view();
    if (!words.empty() && words.find_first_of(" \t\n\r\"=") == std::string_view::npos) {
      append_escaped(words);
      return;
    }
    line_ += '"';
    for (char const letter : words) {
      if (letter == '"' || letter == '\\') {
        line_ += '\\';
      }
      append_escaped(std::string_view(&letter, 1));
    }
    line_ += '"';
  }

  LogOptions options_;
  Sink sink_;
  std::string line_;
};

using Log = BasicLog<>;

}  // namespace rlhf::inline v0::runtime
