/// @file
/// Metrics as JSON Lines, one line a step. Layer: adapters.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/runtime/append_file.hpp>
#include <rlhf/runtime/metrics.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <time.h>

namespace rlhf::inline v0::adapters {

/// A step's metrics as one line, its line feed included:
/// `{"step":3,"time":1767322985.123,"policy/loss":0.5,"policy/kl":"NaN"}`.
///
/// `time` is in seconds since 1970. Numbers are read back to the bit. JSON has no NaN and no
/// infinity: they stand as the strings `NaN`, `Infinity`, `-Infinity`, which Python's `float` and
/// `pandas` understand. Errors: invalid_argument for a metric named `step` or `time`.
[[nodiscard]] inline std::string metrics_line(std::int64_t step, double time,
                                              std::vector<runtime::Metric> const& metrics) {
  std::string out = text("{\"step\":", step, ",\"time\":", nlohmann::json(time).dump());
  for (runtime::Metric const& metric : metrics) {
    if (metric.name == "step" || metric.name == "time") {
      fail(Errc::invalid_argument,
           text("a metric cannot be named ", metric.name,
                ", which every line has already; use another name or a prefix"));
    }
    bool const nan = metric.value != metric.value;  // NOLINT(misc-redundant-expression)
    bool const finite = metric.value - metric.value == 0;
    out += text(
        ",",
        nlohmann::json(metric.name).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
        ":",
        finite             ? nlohmann::json(metric.value).dump()
        : nan              ? std::string("\"NaN\"")
        : metric.value > 0 ? std::string("\"Infinity\"")
                           : std::string("\"-Infinity\""));
  }
  return out + "}\n";
}

/// Appends a line a step to a file.
///
///     rlhf::adapters::MetricsJsonl file("runs/a/metrics.jsonl");
///     file.write(step, metrics.take(comm));        // on rank 0: others make no object
///
/// A line is one `write`, so a process that is killed leaves whole lines; what a full disk tore is
/// ended by a line feed when the file is opened again. A run that goes on appends: steps after the
/// checkpoint then stand twice, the later line counts.
/// Errors: io. Thread safety: one caller.
class MetricsJsonl {
 public:
  explicit MetricsJsonl(std::string const& path)
      : file_(path, runtime::AppendFile::Mode::whole_lines) {}

  [[nodiscard]] std::string const& path() const noexcept { return file_.path(); }
  void write(std::int64_t step, std::vector<runtime::Metric> const& metrics) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    double const time = static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
    file_.append(metrics_line(step, time, metrics));
  }

 private:
  runtime::AppendFile file_;
};

}  // namespace rlhf::inline v0::adapters
