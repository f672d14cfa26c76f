/// @file
/// What a person sees of a run: a line an episode, files of metrics and prompts, a picture.
#pragma once

#include <rlhf/checkpoint/file.hpp>
#include <rlhf/data/options.hpp>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "curves.hpp"

namespace grpo {

/// One line of metrics.jsonl.
struct EpisodeMetrics {
  std::int64_t episode = 0;
  double reward = 0;  ///< Mean over all answers of the episode.
  double kl = 0;      ///< Mean over tokens, from the reference.
  double clipped = 0;
  double gradient_norm = 0;
  std::int64_t samples = 0;
  std::optional<double> accuracy;  ///< On held-out prompts, before the episode's training.
  std::vector<double> accuracy_by_dataset;
  double sync_seconds = 0;
  double sync_gigabytes_per_second = 0;
  double seconds = 0;
};

/// Collects rows; rank 0 prints and writes them. All ranks hold one so that calls need no branches.
class Report {
 public:
  Report(std::string directory, bool speaks, std::int64_t episodes)
      : directory_(std::move(directory)),
        speaks_(speaks),
        episodes_(episodes) {}

  void say(std::string_view line) const {
    if (speaks_) {
      fmt::print("{}\n", line);
      std::fflush(stdout);
    }
  }

  /// Notes which prompts an episode used, in order: [dataset, index] pairs.
  void add_prompts(std::int64_t episode, std::span<rlhf::data::Draw const> draws) {
    nlohmann::ordered_json row{{"episode", episode}};
    auto& prompts = row["prompts"] = nlohmann::ordered_json::array();
    for (rlhf::data::Draw const& draw : draws) {
      prompts.push_back({draw.dataset, draw.index});
    }
    prompts_.push_back(row.dump());
  }

  void add(EpisodeMetrics const& m) {
    nlohmann::ordered_json row{{"episode", m.episode},
                               {"reward", m.reward},
                               {"kl", m.kl},
                               {"clipped", m.clipped},
                               {"gradient_norm", m.gradient_norm},
                               {"samples", m.samples}};
    if (m.accuracy) {
      row["accuracy"] = *m.accuracy;
      row["accuracy_by_dataset"] = m.accuracy_by_dataset;
    }
    row["sync_seconds"] = m.sync_seconds;
    row["sync_gb_per_s"] = m.sync_gigabytes_per_second;
    row["seconds"] = m.seconds;
    metrics_.push_back(row.dump());
    curves_.push_back({static_cast<double>(m.episode), m.reward, m.kl, m.accuracy});
    last_accuracy_ = m.accuracy ? m.accuracy : last_accuracy_;
    timed_seconds_ += m.seconds;
    ++timed_episodes_;
    double const left = timed_seconds_ / static_cast<double>(timed_episodes_) *
                        static_cast<double>(episodes_ - m.episode - 1);
    say(
        fmt::format("episode {:>4}/{}  reward {:.3f}  kl {:.4f}  accuracy {}  {:>6.0f} samples/s  "
                    "sync {:.2f} ms {:.2f} GB/s  left {}",
                    m.episode + 1, episodes_, m.reward, m.kl,
                    last_accuracy_ ? fmt::format("{:5.1f} %", 100 * *last_accuracy_) : "    - ",
                    static_cast<double>(m.samples) / m.seconds, 1e3 * m.sync_seconds,
                    m.sync_gigabytes_per_second, duration(left)));
  }

  /// The accuracy after all episodes, or after the warm-up.
  void add_accuracy(std::int64_t episode, double accuracy, std::vector<double> const& by_dataset) {
    nlohmann::ordered_json const row{
        {"episode", episode}, {"accuracy", accuracy}, {"accuracy_by_dataset", by_dataset}};
    metrics_.push_back(row.dump());
    curves_.push_back({static_cast<double>(episode), {}, {}, accuracy});
    last_accuracy_ = accuracy;
  }

  /// Held-out accuracy before the first episode.
  [[nodiscard]] std::optional<double> first_accuracy() const {
    return curves_.empty() ? std::nullopt : curves_.front().accuracy;
  }
  [[nodiscard]] std::string metrics_text() const { return join(metrics_); }
  [[nodiscard]] std::string prompts_text() const { return join(prompts_); }

  /// Takes over what a checkpoint holds.
  void restore(std::string_view metrics, std::string_view prompts) {
    metrics_ = split(metrics);
    prompts_ = split(prompts);
    curves_.clear();
    for (std::string const& line : metrics_) {
      auto const row = nlohmann::ordered_json::parse(line);
      auto const value = [&](char const* key) {
        return row.contains(key) ? std::optional<double>(row[key].get<double>()) : std::nullopt;
      };
      curves_.push_back(
          {row["episode"].get<double>(), value("reward"), value("kl"), value("accuracy")});
      last_accuracy_ = value("accuracy") ? value("accuracy") : last_accuracy_;
    }
  }

  /// Writes metrics.jsonl, prompts.jsonl and curves.svg, each as a whole.
  void write() const {
    if (speaks_) {
      put("metrics.jsonl", metrics_text());
      put("prompts.jsonl", prompts_text());
      put("curves.svg", curves_svg(curves_));
    }
  }

 private:
  void put(char const* name, std::string const& content) const {
    rlhf::checkpoint::write_atomically(directory_ + "/" + name,
                                       std::as_bytes(std::span(content.data(), content.size())));
  }
  [[nodiscard]] static std::string duration(double seconds) {
    auto const whole = static_cast<std::int64_t>(seconds + 0.5);
    return whole < 60 ? fmt::format("{}s", whole)
                      : fmt::format("{}m{:02}s", whole / 60, whole % 60);
  }
  [[nodiscard]] static std::string join(std::vector<std::string> const& lines) {
    std::string out;
    for (std::string const& line : lines) {
      out += line + "\n";
    }
    return out;
  }
  [[nodiscard]] static std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
      lines.emplace_back(text.substr(0, text.find('\n')));
      text.remove_prefix(lines.back().size() + 1);
    }
    return lines;
  }

  std::string directory_;
  bool speaks_;
  std::int64_t episodes_;
  std::vector<std::string> metrics_;
  std::vector<std::string> prompts_;
  std::vector<CurvePoint> curves_;
  std::optional<double> last_accuracy_;
  double timed_seconds_ = 0;
  std::int64_t timed_episodes_ = 0;
};

}  // namespace grpo
