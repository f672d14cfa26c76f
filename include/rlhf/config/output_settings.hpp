/// @file
/// What a run writes: logs, metrics, traces, profiles. Layer: config.
#pragma once

#include <rlhf/config/limits.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::config {

/// The least level of messages that are written.
enum class LogLevel : std::uint8_t { debug, info, warning, error };
template <>
struct Choices<LogLevel> {
  static constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
};

/// The outputs' part of the `runtime` section. Relative paths are below `output_path()`.
struct OutputSettings {
  std::string exp_name = "CHATLEARN";  ///< Not empty; no slash.
  std::string output_dir = "./";       ///< Not empty.
  std::string log_config_file{};       ///< For the program: settings of loggers of its own.
  LogLevel log_level = LogLevel::info;
  std::string log_path{};                 ///< Log lines; empty: the error output.
  std::string metrics_path{};             ///< JSON Lines, one an episode; empty: none.
  std::string tensorboard_dir{};          ///< Event files; empty: none.
  std::string trace_path{};               ///< Chrome's trace format; empty: none.
  std::int64_t trace_capacity = 1 << 16;  ///< Events of a rank, later ones are counted; from 1.
  std::int64_t log_episode_interval = 1;  ///< Episodes between lines of the log; from 1.
  bool progress = true;                   ///< A line that says how far the run is.
  bool debug = false;                     ///< For the program: checks that cost time.
  bool nsys = false;                      ///< No effect: `RLHF_ENABLE_NVTX` compiles ranges in.
  std::string profiler_dir{};             ///< For the program: where its profiler writes.

  bool operator==(OutputSettings const&) const = default;

  /// `output_dir` with `exp_name` behind it, unless its last part is that already.
  [[nodiscard]] std::string output_path() const {
    std::string path = output_dir;
    while (path.size() > 1 && path.back() == '/') {
      path.pop_back();
    }
    std::size_t const slash = path.rfind('/');
    if (path.substr(slash == std::string::npos ? 0 : slash + 1) == exp_name) {
      return path;
    }
    return path == "/" ? path + exp_name : path + "/" + exp_name;
  }
  /// A path of a setting: as it is where it is absolute or empty, else below `output_path()`.
  [[nodiscard]] std::string below_output(std::string const& path) const {
    return path.empty() || path.front() == '/' ? path : output_path() + "/" + path;
  }

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("exp_name", self.exp_name, at_least(1), "name of the run");
    visit("output_dir", self.output_dir, at_least(1),
          "directory of outputs; the run's name is appended unless it ends with it");
    visit("log_config_file", self.log_config_file, anything(),
          "file with settings of loggers that the program brings along");
    visit("log_level", self.log_level, anything(), "least level of messages");
    visit("log_path", self.log_path, anything(), "file of log lines; empty: the error output");
    visit("metrics_path", self.metrics_path, anything(),
          "JSON Lines of metrics, one line an episode; empty: none");
    visit("tensorboard_dir", self.tensorboard_dir, anything(),
          "directory of TensorBoard event files; empty: none");
    visit("trace_path", self.trace_path, anything(),
          "trace of all ranks in Chrome's format; empty: none");
    visit("trace_capacity", self.trace_capacity, between(1, 1 << 30),
          "events of a rank's trace; later ones are only counted");
    visit("log_episode_interval", self.log_episode_interval, between(1, 1 << 30),
          "episodes between summaries in the log");
    visit("progress", self.progress, anything(), "a line that says how far the run is");
    visit("debug", self.debug, anything(), "checks of the program that cost time");
    visit("nsys", self.nsys, anything(), "no effect: RLHF_ENABLE_NVTX compiles NVTX ranges in");
    visit("profiler_dir", self.profiler_dir, anything(), "where the program's profiler writes");
  }
};

}  // namespace rlhf::inline v0::config
