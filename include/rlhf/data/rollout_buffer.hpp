/// @file
/// Rollouts of several episodes, kept to be trained on again. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/batch.hpp>
#include <rlhf/data/concepts.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// The rollouts of one episode.
template <class Batch>
struct EpisodeRollouts {
  std::int64_t episode = 0;
  Batch batch{};
};

/// Selects all samples of all episodes that are kept, oldest first.
struct SelectAll {
  template <ColumnBatch Batch>
  [[nodiscard]] Batch operator()(std::span<EpisodeRollouts<Batch> const> kept) const {
    Batch out;
    for (EpisodeRollouts<Batch> const& one : kept) {
      append_rows(out, one.batch, 0, row_count(one.batch));
    }
    return out;
  }
};

struct RolloutBufferOptions {
  static constexpr std::int64_t all = -1;

  std::int64_t keep = 1;        ///< Episodes, the newest; `all`: none is ever dropped.
  std::int64_t reuse_from = 0;  ///< Episodes before this one are trained on once only.
  std::int64_t samples = -1;    ///< That every episode must have; -1: any number.
};

/// Keeps the rollouts of the newest episodes; `Select` makes the training set of them.
///
///     data::RolloutBuffer<Rollout> buffer({.keep = 4});
///     buffer.add(episode, rollouts);          // as often as batches of the episode arrive
///     Rollout const training = buffer.training_set();
///
/// The reference's relay buffer: a new episode pushes out the oldest beyond `keep`, and the user's
/// function sees those that are kept, oldest first. Episodes before `reuse_from` are not kept for
/// later ones. Unlike there, no function is needed to take all samples, an episode that lacks
/// samples or has too many is an error that says so, and nothing is lost when batches do not
/// divide.
///
/// @tparam Select Called as `select(std::span<EpisodeRollouts<Batch> const>)`, gives a Batch.
/// It belongs to the state of a run: `checkpoint::save_rollouts`. Thread safety: one caller.
template <ColumnBatch Batch, class Select = SelectAll>
  requires requires(Select const& select, std::span<EpisodeRollouts<Batch> const> kept) {
    { select(kept) } -> detail::Same<Batch>;
  }
class RolloutBuffer {
 public:
  using Episode = EpisodeRollouts<Batch>;

  /// Errors: invalid_argument for options out of range.
  explicit RolloutBuffer(RolloutBufferOptions const& options = {}, Select select = {})
      : options_(options),
        select_(std::move(select)) {
    expects(options.keep >= 1 || options.keep == RolloutBufferOptions::all,
            "RolloutBufferOptions::keep must be 1 or more episodes, or all");
    expects(options.samples >= -1, "RolloutBufferOptions::samples must be 0 or more, or -1");
  }

  /// Adds rollouts to an episode: the newest one, or a newer one, which begins with them.
  ///
  /// Cost: a copy. Errors: invalid_argument for an episode before the newest, columns that differ
  /// from those before, more samples than an episode may have, or a newer episode while the newest
  /// lacks samples. After an error (but for a lack
  /// of memory) nothing has changed.
  void add(std::int64_t episode, Batch const& rollouts) {
    expects(episode >= 0, "the number of an episode must not be negative");
    bool const same = !kept_.empty() && kept_.back().episode == episode;
    if (!kept_.empty() && episode < kept_.back().episode) {
      fail(Errc::invalid_argument, text("rollouts of episode ", episode, " came after those of ",
                                        "episode ", kept_.back().episode));
    }
    if (!same && !kept_.empty()) {
      check_complete();
    }
    std::int64_t const rows = (same ? row_count(kept_.back().batch) : 0) + row_count(rollouts);
    if (options_.samples >= 0 && rows > options_.samples) {
      fail(Errc::invalid_argument, text("episode ", episode, " has ", rows, " samples, ",
                                        options_.samples, " were declared"));
    }
    for (Episode& kept : kept_) {  // all columns fit before any is changed
      for_each_pair(kept.batch, rollouts, [](std::string_view, auto& column, auto& other) {
        detail::adopt_shape(column, other);
      });
    }
    if (same) {
      append_rows(kept_.back().batch, rollouts, 0, row_count(rollouts));
    } else {
      kept_.push_back(Episode{episode, rollouts});
      drop_old();
    }
    trained_ = 0;
  }

  /// The episodes that are kept, oldest first.
  [[nodiscard]] std::span<Episode const> episodes() const noexcept {
    return {kept_.data(), kept_.size()};
  }
  [[nodiscard]] RolloutBufferOptions const& options() const noexcept { return options_; }
  /// What `Select` makes of them. Errors: invalid_argument when there is none, or the newest lacks
  /// samples; what `Select` throws.
  [[nodiscard]] Batch training_set() const {
    expects(!kept_.empty(), "a rollout buffer has no training set before its first rollouts");
    check_complete();
    return select_(episodes());
  }

  /// Micro-batches of the present training set that the run has trained on: where it goes on after
  /// a restart inside training. New rollouts set it to 0.
  [[nodiscard]] std::int64_t trained() const noexcept { return trained_; }
  void set_trained(std::int64_t micro_batches) {
    expects(micro_batches >= 0, "the number of micro-batches trained on must not be negative");
    trained_ = micro_batches;
  }

  /// Takes over what another buffer had kept, as far as these options keep it.
  ///
  /// Errors: invalid_argument unless episodes are in rising order. Then nothing has changed.
  void restore(std::vector<Episode> episodes, std::int64_t trained) {
    expects(trained >= 0, "the number of micro-batches trained on must not be negative");
    for (std::size_t i = 1; i < episodes.size(); ++i) {
      expects(episodes[i - 1].episode < episodes[i].episode,
              "the episodes of a rollout buffer must be in rising order");
    }
    kept_ = std::move(episodes);
    drop_old();
    trained_ = trained;
  }

 private:
  void check_complete() const {
    std::int64_t const rows = row_count(kept_.back().batch);
    if (options_.samples >= 0 && rows != options_.samples) {
      fail(Errc::invalid_argument, text("episode ", kept_.back().episode, " has ", rows,
                                        " samples, ", options_.samples, " were declared"));
    }
  }
  void drop_old() {
    std::size_t first = 0;
    while (first + 1 < kept_.size() &&
           (kept_[first].episode < options_.reuse_from ||
            (options_.keep != RolloutBufferOptions::all &&
             static_cast<std::int64_t>(kept_.size() - first) > options_.keep))) {
      ++first;
    }
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(first));
  }

  RolloutBufferOptions options_;
  Select select_;
  std::vector<Episode> kept_;
  std::int64_t trained_ = 0;
};

}  // namespace rlhf::inline v0::data
