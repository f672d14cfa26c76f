/// @file
/// What a run leaves behind: metrics, a picture, a line on the terminal. The engine's observer.
#pragma once

#include <rlhf/adapters/metrics_jsonl.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/model_files.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/engine/options.hpp>
#include <rlhf/runtime/append_file.hpp>
#include <rlhf/runtime/metrics.hpp>
#include <rlhf/runtime/progress.hpp>

#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "options.hpp"
#include "picture.hpp"
#include "policy.hpp"

namespace ppo {

/// One a rank. All ranks add up what they saw; rank 0 writes.
template <class Comm>
class Recorder {
 public:
  Recorder(Comm& world, Options const& options, std::vector<PromptSet> const& sets,
           Generator<Comm>& generator)
      : world_(&world),
        options_(&options),
        sets_(&sets),
        generator_(&generator) {}

  /// What is known of the rollout, for who makes it.
  [[nodiscard]] rlhf::runtime::Metrics& rollout() noexcept { return rollout_; }

  // --- what the engine calls ------------------------------------------------------------------

  template <class Result>
  void trained(Result const& result, std::string_view trainer) {
    rlhf::runtime::Metrics& metrics = trainer == "policy" ? policy_ : critic_;
    result.metrics([&](std::string_view name, double value, double weight = 1) {
      metrics.weighted(name, value, weight);
    });
  }
  /// Held-out accuracy of the generator, which a program checks.
  void evaluate(rlhf::Episode episode) {
    std::vector<std::int64_t> right = generator_->count_right(*sets_);
    rlhf::comm::all_reduce(*world_, std::span<std::int64_t>(right));
    for (std::size_t d = 0; d < right.size(); ++d) {
      PromptSet const& set = (*sets_)[d];
      auto const size = static_cast<double>(set.held_out.size());
      std::string_view file = set.path;
      file.remove_prefix(file.rfind('/') + 1);
      double const part = static_cast<double>(right[d]) / size;
      evaluation_.weighted("accuracy", part, size);
      evaluation_.mean(rlhf::text("accuracy/", file.substr(0, file.rfind('.'))), part);
    }
    evaluated_ = episode.value;
    if (episode.value == 0) {
      close(0);
    }
  }
  /// Rows up to the episode that the checkpoint is of.
  void save(rlhf::checkpoint::FilesToSave& files) {
    close(closed_ + 1);
    if (world_->rank() == 0) {
      files.write("metrics.jsonl", rlhf::checkpoint::as_bytes(lines_));
      files.write("settings", rlhf::checkpoint::as_bytes(settings_text(*options_)));
    }
  }
  void load(rlhf::checkpoint::FilesToLoad const& files) {
    if (world_->rank() == 0) {
      std::vector<std::byte> const settings = files.read("settings");
      if (rlhf::checkpoint::as_text(settings) != settings_text(*options_)) {
        rlhf::fail(rlhf::Errc::invalid_argument,
                   rlhf::text("the run in ", options_->out,
                              " has other settings: ", rlhf::checkpoint::as_text(settings),
                              "; now: ", settings_text(*options_),
                              "; go on with the same, or without --resume"));
      }
      std::vector<std::byte> const lines = files.read("metrics.jsonl");
      lines_ = rlhf::checkpoint::as_text(lines);
      points_.clear();
      for (std::string_view rest = lines_; !rest.empty();) {
        std::size_t const end = rest.find('\n');
        add_point(rest.substr(0, end));
        rest.remove_prefix(end + 1);
      }
    }
    std::int64_t done = points_.empty() ? 0 : static_cast<std::int64_t>(points_.back().episode);
    rlhf::comm::broadcast(*world_, std::span<std::int64_t>(&done, 1), 0);
    closed_ = done;
    evaluated_ = done % options_->evaluate_every == 0 ? done : -1;
  }
  void finished(rlhf::engine::EpisodeReport const& report) {
    if (closed_ <= report.episode) {
      close(report.episode + 1);
    }
    seconds_.sum("rollout", report.rollout_seconds);
    seconds_.sum("train", report.train_seconds);
    seconds_.sum("sync", report.sync_seconds);
    seconds_.sum("save", report.save_seconds);
  }

  // --- what the program calls -----------------------------------------------------------------

  /// Behind the last episode.
  void finish() {
    if (evaluated_ != closed_) {
      evaluate(rlhf::Episode{closed_});
      close(closed_);
    }
    if (progress_) {
      progress_->finish();
    }
  }
  /// On rank 0: the accuracy before the first episode, and the last one.
  [[nodiscard]] std::pair<double, double> accuracies() const {
    std::pair<double, double> out{0, 0};
    bool first = true;
    for (Point const& point : points_) {
      if (point.accuracy) {
        out.first = first ? *point.accuracy : out.first;
        out.second = *point.accuracy;
        first = false;
      }
    }
    return out;
  }

 private:
  using Rows = std::vector<rlhf::runtime::Metric>;

  /// Ends the row of an episode: everything that was added since the last one. Collective.
  void close(std::int64_t episode) {
    Rows row;
    for (rlhf::runtime::Metrics* const part :
         {&rollout_, &policy_, &critic_, &evaluation_, &seconds_}) {  // what differs by run is last
      Rows const all = part->take(*world_);
      row.insert(row.end(), all.begin(), all.end());
    }
    closed_ = episode;
    if (world_->rank() != 0) {
      return;
    }
    std::string const line = rlhf::adapters::metrics_line(episode, 0, row);
    lines_ += line;
    add_point(std::string_view(line).substr(0, line.size() - 1));
    write(line);
    show();
  }
  /// Appends a line; of a run that goes on, the file first becomes what the checkpoint knows.
  void write(std::string const& line) {
    std::string const path = options_->out + "/metrics.jsonl";
    if (!file_) {
      rlhf::checkpoint::write_atomically(path, rlhf::checkpoint::as_bytes(lines_));
      file_.emplace(path, rlhf::runtime::AppendFile::Mode::whole_lines);
    } else {
      file_->append(line);
    }
    rlhf::checkpoint::write_atomically(options_->out + "/curves.svg",
                                       rlhf::checkpoint::as_bytes(curves_svg(points_)));
  }
  void add_point(std::string_view line) {
    auto const row = nlohmann::json::parse(line);
    auto const value = [&](char const* key) {
      return row.contains(key) && row[key].is_number() ? std::optional(row[key].get<double>())
                                                       : std::nullopt;
    };
    points_.push_back({row["step"].get<double>(), value("rollout/reward"), value("rollout/right"),
                       value("evaluation/accuracy"), value("rollout/kl"), value("critic/loss")});
  }
  void show() {
    if (!progress_) {
      rlhf::runtime::ProgressOptions shown = rlhf::runtime::ProgressOptions::of(2);
      shown.name = "episode";
      progress_.emplace(options_->episodes, shown, closed_);
    }
    Point const& last = points_.back();
    progress_->update(closed_, fmt::format("reward {:.3f} right {:.3f} kl {:.4f} accuracy {:.1f} %",
                                           last.reward.value_or(0), last.right.value_or(0),
                                           last.kl.value_or(0), 100 * accuracies().second));
  }

  Comm* world_;
  Options const* options_;
  std::vector<PromptSet> const* sets_;
  Generator<Comm>* generator_;
  rlhf::runtime::Metrics rollout_{"rollout"};
  rlhf::runtime::Metrics policy_{"policy"};
  rlhf::runtime::Metrics critic_{"critic"};
  rlhf::runtime::Metrics evaluation_{"evaluation"};
  rlhf::runtime::Metrics seconds_{"seconds"};
  std::string lines_;
  std::vector<Point> points_;
  std::optional<rlhf::runtime::AppendFile> file_;
  std::optional<rlhf::runtime::Progress> progress_;
  std::int64_t closed_ = -1;
  std::int64_t evaluated_ = -1;
};

}  // namespace ppo
