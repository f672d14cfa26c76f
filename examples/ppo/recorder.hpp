/// @file
/// What a run leaves behind: metrics, a picture, a line on the terminal.
#pragma once

#include <rlhf/adapters/metrics_jsonl.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/model_files.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/mesh.hpp>
#include <rlhf/runtime/metrics.hpp>
#include <rlhf/runtime/progress.hpp>

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "../grpo/reward.hpp"
#include "options.hpp"
#include "picture.hpp"
#include "values.hpp"

namespace ppo {

using MetricRow = std::vector<rlhf::runtime::Metric>;

/// A module of one rank that learns of rollouts from the engine and has its part in checkpoints, so
/// that a run that goes on has all rows.
class Recorder : public rlhf::Module<rlhf::Grid<>> {
 public:
  static constexpr std::string_view name = "recorder";

  Recorder(int world_rank, Options const& options)
      : Module(rlhf::Mesh::range(0, 1), world_rank),
        options_(&options) {}

  /// What the answers of an episode are worth: to the reward model, and to a program that knows the
  /// right ones, which nobody is trained on.
  void add(Prompts const& prompts, Answers const& answers, ReferenceScores const& reference,
           Rewards const& rewards, std::vector<PromptSet> const& sets) {
    for (std::size_t row = 0; row < prompts.index.size(); ++row) {
      std::string const& right = sets[static_cast<std::size_t>(prompts.dataset[row])]
                                     .training[static_cast<std::size_t>(prompts.index[row])]
                                     .answer;
      auto const answer = answers.tokens[static_cast<std::int64_t>(row)];
      metrics_.mean("reward", static_cast<double>(rewards.score[row]));
      metrics_.mean("right", static_cast<double>(grpo::exact_match_reward(answer, right)));
      metrics_.mean("length", static_cast<double>(answer.size()));
    }
    std::vector<float> const& own = answers.log_probability.values();
    for (std::size_t j = 0; j < own.size(); ++j) {
      metrics_.mean("kl", static_cast<double>(own[j] - reference.log_probability.values()[j]));
    }
  }
  /// Right answers to held-out prompts, of each dataset.
  void add_evaluation(std::vector<std::int64_t> const& right, std::vector<PromptSet> const& sets) {
    for (std::size_t d = 0; d < right.size(); ++d) {
      auto const size = static_cast<double>(sets[d].held_out.size());
      double const part = static_cast<double>(right[d]) / size;
      std::string_view file = sets[d].path;
      file.remove_prefix(file.rfind('/') + 1);
      evaluation_.weighted("accuracy", part, size);
      evaluation_.mean(rlhf::text("accuracy/", file.substr(0, file.rfind('.'))), part);
    }
  }
  /// The part of held-out answers that the reward model tells apart before it judges any others.
  void add_judgement(double right) { evaluation_.mean("reward_model_right", right); }
  /// Ends a row: what was added since the last one, what trainers told, and times.
  void finish_row(std::int64_t episodes, MetricRow const& trainers, MetricRow const& seconds) {
    MetricRow row = metrics_.take();
    for (MetricRow const& part : {trainers, evaluation_.take(), seconds}) {
      row.insert(row.end(), part.begin(), part.end());
    }
    std::string const line =
        rlhf::adapters::metrics_line(episodes, static_cast<double>(std::time(nullptr)), row);
    lines_ += line;
    add_point(line);
    write();
    if (points_.back().reward || episodes == 0) {
      show(episodes);
    }
  }

  void save_checkpoint(rlhf::checkpoint::FilesToSave& files, rlhf::Step) {
    files.write("metrics.jsonl", rlhf::checkpoint::as_bytes(lines_));
    files.write("settings", rlhf::checkpoint::as_bytes(settings_text(*options_)));
  }
  /// Errors: invalid_argument for a run with other settings.
  void load_checkpoint(rlhf::checkpoint::FilesToLoad const& files, rlhf::Step) {
    std::vector<std::byte> const settings = files.read("settings");
    if (rlhf::checkpoint::as_text(settings) != settings_text(*options_)) {
      rlhf::fail(
          rlhf::Errc::invalid_argument,
          rlhf::text("the run in ", options_->out, " had\n  ", rlhf::checkpoint::as_text(settings),
                     "\nthis one has\n  ", settings_text(*options_),
                     "\ngo on with the same, or choose another --out"));
    }
    std::vector<std::byte> const lines = files.read("metrics.jsonl");
    lines_ = rlhf::checkpoint::as_text(lines);
    for (std::string_view rest = lines_; !rest.empty();) {
      std::size_t const end = rest.find('\n');
      add_point(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
  }

  /// The first accuracy, and the last one.
  [[nodiscard]] std::pair<double, double> accuracies() const noexcept {
    return {first_accuracy_.value_or(0), last_accuracy_.value_or(0)};
  }

 private:
  void add_point(std::string_view line) {
    auto const row = nlohmann::json::parse(line);
    auto const value = [&](char const* key) {
      return row.contains(key) && row[key].is_number() ? std::optional(row[key].get<double>())
                                                       : std::nullopt;
    };
    points_.push_back({row["step"].get<double>(), value("rollout/reward"), value("rollout/right"),
                       value("evaluation/accuracy"), value("rollout/kl"), value("critic/loss")});
    if (std::optional<double> const accuracy = points_.back().accuracy) {
      first_accuracy_ = first_accuracy_ ? first_accuracy_ : accuracy;
      last_accuracy_ = accuracy;
    }
  }
  /// Both files as a whole: what an older run left in the directory goes.
  void write() const {
    rlhf::checkpoint::write_atomically(options_->out + "/metrics.jsonl",
                                       rlhf::checkpoint::as_bytes(lines_));
    std::string const picture = curves_svg(points_);
    rlhf::checkpoint::write_atomically(options_->out + "/curves.svg",
                                       rlhf::checkpoint::as_bytes(picture));
  }
  void show(std::int64_t episodes) {
    if (!progress_) {
      rlhf::runtime::ProgressOptions shown = rlhf::runtime::ProgressOptions::of(2);
      shown.name = "episode";
      progress_.emplace(options_->episodes, shown, episodes);
    }
    Point const& last = points_.back();
    progress_->update(
        episodes, fmt::format("reward {:.3f} right {:.3f} kl {:.3f} accuracy {:.1f} %",
                              last.reward.value_or(0), last.right.value_or(0), last.kl.value_or(0),
                              100 * accuracies().second));
    if (episodes == options_->episodes) {
      progress_->finish();
    }
  }

  Options const* options_;
  rlhf::runtime::Metrics metrics_{"rollout"};
  rlhf::runtime::Metrics evaluation_{"evaluation"};
  std::string lines_;
  std::vector<Point> points_;
  std::optional<double> first_accuracy_;
  std::optional<double> last_accuracy_;
  std::optional<rlhf::runtime::Progress> progress_;
};

}  // namespace ppo
