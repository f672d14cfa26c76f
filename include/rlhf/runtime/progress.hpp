/// @file
/// How far a loop is, as one line. Layer: runtime.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/runtime/clock.hpp>
#include <rlhf/runtime/detail/table.hpp>
#include <rlhf/runtime/log.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <sys/ioctl.h>
#include <unistd.h>

namespace rlhf::inline v0::runtime {

/// Where progress is shown.
struct ProgressOptions {
  bool terminal = false;           ///< One line that is written over; else lines one below another.
  int width = 80;                  ///< Of the terminal, in columns.
  Milliseconds interval{10'000};   ///< Shortest time between two lines.
  std::string_view name = "step";  ///< What is counted; must outlive the object.

  /// For a descriptor: a terminal with its width, ten times a second, or a file, every ten seconds.
  [[nodiscard]] static ProgressOptions of(int descriptor = 2) noexcept {
    ProgressOptions options;
    if (::isatty(descriptor) == 1) {
      options.terminal = true;
      options.interval = Milliseconds{100};
      winsize size{};
      if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        options.width = size.ws_col;
      }
    }
    return options;
  }
};

/// Shows how far a loop is and when it will end.
///
///     rlhf::runtime::Progress progress(episodes, rlhf::runtime::ProgressOptions::of(2));
///     for (...) { ...; progress.update(episode + 1, "loss 0.25"); }
///     progress.finish();
///     // step 12/200 [=>                 ]   6 % 0:01:30 left 0:23:30 loss 0.25
///
/// On a terminal the line is cut to the width and written over. Elsewhere there is a line each
/// interval, the first and the last always. Only rank 0 should have one.
/// The time left is that of the steps done since the start, so a run that goes on from a checkpoint
/// says where it starts: `Progress(total, options, done)`.
/// Cost: one reading of the clock an update; nothing else between intervals. Thread safety: one
/// caller.
template <class Sink = DescriptorSink, class Clock = SteadyClock>
class BasicProgress {
 public:
  explicit BasicProgress(std::int64_t total, ProgressOptions options = ProgressOptions::of(),
                         std::int64_t done = 0, Sink sink = {})
      : options_(options),
        sink_(sink),
        begin_(Clock::now()),
        total_(total),
        started_at_(done),
        done_(done) {}

  /// So many are done; `note` stands at the end of the line.
  void update(std::int64_t done, std::string_view note = "") {
    done_ = done;
    std::int64_t const now = Clock::now();
    if (shown_ && now - last_ < options_.interval.count * 1'000'000 && done < total_) {
      return;
    }
    show(now, note);
  }
  /// Ends the line, with what there is. Twice is the same as once.
  void finish(std::string_view note = "") {
    if (!finished_) {
      if (options_.terminal || done_ != last_done_ || !note.empty()) {
        show(Clock::now(), note);
      }
      if (options_.terminal) {
        sink_(std::string_view("\n"));
      }
      finished_ = true;
    }
  }

 private:
  void show(std::int64_t now, std::string_view note) {
    line_.clear();
    line_ += options_.terminal ? "\r" : "";
    line_ += options_.name;
    line_ += text(" ", done_, "/", total_);
    double const part = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1.0;
    double const shown = part < 0 ? 0 : part > 1 ? 1 : part;
    if (options_.terminal) {
      constexpr int cells = 20;
      int const filled = static_cast<int>(shown * cells);
      line_ += " [";
      line_.append(static_cast<std::size_t>(filled), '=');
      line_ += filled < cells ? ">" : "";
      line_.append(static_cast<std::size_t>(cells - filled - (filled < cells ? 1 : 0)), ' ');
      line_ += ']';
    }
    std::string const percent = detail::fixed(shown * 100, 0);
    line_.append(percent.size() < 3 ? 4 - percent.size() : 1, ' ');
    line_ += percent;
    line_ += " % ";
    append_time(static_cast<double>(now - begin_) * 1e-9);
    std::int64_t const steps = done_ - started_at_;
    if (steps > 0 && done_ < total_) {
      line_ += " left ";
      append_time(static_cast<double>(now - begin_) * 1e-9 / static_cast<double>(steps) *
                  static_cast<double>(total_ - done_));
    }
    if (!note.empty()) {
      line_ += ' ';
      for (char const letter : note) {
        line_ += static_cast<unsigned char>(letter) < 0x20 ? ' ' : letter;
      }
    }
    if (options_.terminal) {
      fit();
    } else {
      line_ += '\n';
    }
    sink_(std::string_view(line_));
    last_ = now;
    last_done_ = done_;
    shown_ = true;
  }
  /// Cuts the line to the width, whole UTF-8 letters, and blanks what was there before. The last
  /// column stays free: terminals would go to the next line.
  void fit() {
    std::size_t const room = options_.width > 1 ? static_cast<std::size_t>(options_.width) - 1 : 1;
    std::size_t columns = 0;
    std::size_t end = 1;  // behind the carriage return
    for (; end < line_.size(); ++end) {
      bool const continues = (static_cast<unsigned char>(line_[end]) & 0xC0U) == 0x80U;
      if (!continues && columns == room) {
        break;
      }
      columns += continues ? 0 : 1;
    }
    line_.resize(end);
    std::size_t const blank = columns < last_columns_ ? last_columns_ - columns : 0;
    line_.append(blank, ' ');
    last_columns_ = columns;
  }
  /// Hours, minutes and seconds.
  void append_time(double seconds) {
    double const most = 359'999'999;  // 99999 h
    auto const whole = static_cast<std::int64_t>(seconds < 0 ? 0 : seconds < most ? seconds : most);
    auto const two = [&, this](std::int64_t value) {
      line_ += static_cast<char>('0' + value / 10);
      line_ += static_cast<char>('0' + value % 10);
    };
    line_ += rlhf::detail::TextPart(static_cast<long>(whole / 3600)).view();
    line_ += ':';
    two(whole / 60 % 60);
    line_ += ':';
    two(whole % 60);
  }

  ProgressOptions options_;
  Sink sink_;
  std::string line_;
  std::int64_t begin_;
  std::int64_t total_;
  std::int64_t started_at_;
  std::int64_t done_;
  std::int64_t last_ = 0;
  std::int64_t last_done_ = -1;
  std::size_t last_columns_ = 0;
  bool shown_ = false;
  bool finished_ = false;
};

using Progress = BasicProgress<>;

}  // namespace rlhf::inline v0::runtime
