/// @file
/// What a person sees of a run: a line an episode, files of metrics and prompts, a picture.
#pragma once

#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/model_files.hpp>
#include <rlhf/engine/options.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/runtime/metrics.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "curves.hpp"
#include "options.hpp"
#include "rollout.hpp"

namespace grpo {

/// Collects rows on rank 0, prints and writes them: a module of one rank that learns of rollouts
/// from the engine and has its part in checkpoints, so that a resumed run has all rows.
class Report : public rlhf::Module<rlhf::Grid<>> {
 public:
  static constexpr std::string_view name = "report";

  Report(int rank, Options const& options, std::string settings)
      : Module(rlhf::Mesh::range(0, 1), rank),
        settings_(std::move(settings)),
        directory_(options.out),
        episodes_(options.episodes) {
    if (present()) {
      std::filesystem::create_directories(directory_);
    }
  }

  void say(std::string_view line) const {
    if (present()) {
      fmt::print("{}\n", line);
      std::fflush(stdout);
    }
  }

  /// Notes which prompts an episode used, in order, as [dataset, index] pairs, and what they
  /// earned.
  void add(Prompts const& prompts, Scores const& scores) {
    nlohmann::ordered_json row{{"episode", episode().value}};
    auto& used = row["prompts"] = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < prompts.index.size(); ++i) {
      used.push_back({prompts.dataset[i], prompts.index[i]});
    }
    prompts_.push_back(row.dump());
    samples_ = scores.rewards.positions();
    reward_ = 0;
    for (float const reward : scores.rewards.values()) {
      reward_ += static_cast<double>(reward) / static_cast<double>(samples_);
    }
  }

  /// A row for an episode that is over.
  void add(rlhf::engine::EpisodeReport const& report,
           std::vector<rlhf::runtime::Metric> const& metrics) {
    nlohmann::ordered_json row{
        {"episode", report.episode}, {"reward", reward_}, {"samples", samples_}};
    double kl = 0;
    for (rlhf::runtime::Metric const& metric : metrics) {
      double const value = metric.weight > 0 ? metric.value : 0;  // no answer taught anything
      row[metric.name] = value;
      kl = metric.name == "policy/kl" ? value : kl;
    }
    double const rate = static_cast<double>(report.sync_bytes) / report.sync_seconds * 1e-9;
    row["sync_seconds"] = report.sync_seconds;
    row["sync_gb_per_s"] = rate;
    row["seconds"] = report.seconds;
    metrics_.push_back(row.dump());
    curves_.push_back({static_cast<double>(report.episode), reward_, kl, {}});
    timed_seconds_ += report.seconds;
    ++timed_episodes_;
    double const left = timed_seconds_ / static_cast<double>(timed_episodes_) *
                        static_cast<double>(episodes_ - report.episode - 1);
    say(
        fmt::format("episode {:>4}/{}  reward {:.3f}  kl {:.4f}  accuracy {}  {:>6.0f} samples/s  "
                    "sync {:.2f} ms {:.2f} GB/s  left {}",
                    report.episode + 1, episodes_, reward_, kl,
                    last_accuracy_ ? fmt::format("{:5.1f} %", 100 * *last_accuracy_) : "    - ",
                    static_cast<double>(samples_) / report.seconds, 1e3 * report.sync_seconds, rate,
                    duration(left)));
    write();
  }

  /// The accuracy on held-out prompts, with the weights before this episode.
  void add_accuracy(std::int64_t episode, double accuracy, std::vector<double> const& by_dataset) {
    nlohmann::ordered_json const row{
        {"episode", episode}, {"accuracy", accuracy}, {"accuracy_by_dataset", by_dataset}};
    metrics_.push_back(row.dump());
    curves_.push_back({static_cast<double>(episode), {}, {}, accuracy});
    last_accuracy_ = accuracy;
    first_accuracy_ = first_accuracy_ ? first_accuracy_ : accuracy;
    write();
  }
  [[nodiscard]] double first_accuracy() const { return first_accuracy_.value_or(0); }
  [[nodiscard]] double last_accuracy() const { return last_accuracy_.value_or(0); }

  void save_checkpoint(rlhf::checkpoint::FilesToSave& files, rlhf::Step) {
    files.write("settings.txt", bytes_of(settings_));
    files.write("metrics.jsonl", bytes_of(join(metrics_)));
    files.write("prompts.jsonl", bytes_of(join(prompts_)));
  }
  /// Errors: invalid_argument for a checkpoint of other layouts, seed or settings.
  void load_checkpoint(rlhf::checkpoint::FilesToLoad const& files, rlhf::Step) {
    if (std::string const was = text_of(files.read("settings.txt")); was != settings_) {
      rlhf::fail(rlhf::Errc::invalid_argument,
                 rlhf::text("the run in ", directory_, " had\n  ", was, "\nthis one has\n  ",
                            settings_, "\nresume with the same, or choose another --out"));
    }
    metrics_ = split(text_of(files.read("metrics.jsonl")));
    prompts_ = split(text_of(files.read("prompts.jsonl")));
    for (std::string const& line : metrics_) {
      auto const row = nlohmann::ordered_json::parse(line);
      auto const value = [&](char const* key) {
        return row.contains(key) ? std::optional<double>(row[key].get<double>()) : std::nullopt;
      };
      curves_.push_back(
          {row["episode"].get<double>(), value("reward"), value("policy/kl"), value("accuracy")});
      last_accuracy_ = value("accuracy") ? value("accuracy") : last_accuracy_;
      first_accuracy_ = first_accuracy_ ? first_accuracy_ : value("accuracy");
    }
  }

 private:
  /// metrics.jsonl, prompts.jsonl and curves.svg, each as a whole.
  void write() const {
    if (present()) {
      put("metrics.jsonl", join(metrics_));
      put("prompts.jsonl", join(prompts_));
      put("curves.svg", curves_svg(curves_));
    }
  }
  [[nodiscard]] static std::span<std::byte const> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  }
  [[nodiscard]] static std::string text_of(std::vector<std::byte> const& bytes) {
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
  }
  void put(char const* file, std::string const& content) const {
    rlhf::checkpoint::write_atomically(directory_ + "/" + file, bytes_of(content));
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

  std::string settings_;
  std::string directory_;
  std::int64_t episodes_;
  double reward_ = 0;  // of the episode in hand, over all answers
  std::int64_t samples_ = 0;
  std::vector<std::string> metrics_;
  std::vector<std::string> prompts_;
  std::vector<CurvePoint> curves_;
  std::optional<double> first_accuracy_;
  std::optional<double> last_accuracy_;
  double timed_seconds_ = 0;
  std::int64_t timed_episodes_ = 0;
};

}  // namespace grpo
