/// @file
/// Datasets mixed in rounds: so many items of the first, so many of the second. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// The datasets that the prompts of a run come from, by integer ratios: a round takes ratios[0]
/// items of dataset 0, then ratios[1] of dataset 1, and so on. Exact after every round.
///
/// Memory: a few numbers a dataset. Thread safety: one caller. Use it as `Rounds`.
template <class Late = void>
class BasicRounds {
  template <class T>
  using late = rlhf::detail::late<T, Late>;

 public:
  /// Requires ratios of zero or more, not all zero, whose sum fits; see `check_options`.
  explicit BasicRounds(std::vector<late<std::int64_t>> ratios)
      : ratios_(std::move(ratios)),
        taken_(ratios_.size(), 0),
        left_(ratios_.empty() ? 0 : ratios_[0]) {
    for (std::int64_t const ratio : ratios_) {
      round_ += ratio;
    }
    expects(round_ > 0, "one of the ratios must be positive");
  }

  /// Goes where `position` >= 0 prompts have been drawn. Cost: a step a dataset.
  void seek(std::int64_t position) noexcept {
    std::int64_t const rounds = position / round_;
    std::int64_t left = position % round_;
    dataset_ = 0;
    while (left > ratios_[dataset_]) {
      left -= ratios_[dataset_++];
    }
    for (std::size_t d = 0; d < ratios_.size(); ++d) {
      taken_[d] = rounds * ratios_[d] + (d < dataset_ ? ratios_[d] : 0);
    }
    taken_[dataset_] += left;
    left_ = ratios_[dataset_] - left;
  }
  /// How many of the prompts so far are of a dataset.
  [[nodiscard]] std::int64_t taken(std::size_t dataset) const noexcept { return taken_[dataset]; }

  /// Goes on by `count` prompts and calls `run(dataset, n)` for each n >= 1 of them that follow
  /// each other in one dataset.
  template <class Run>
  void walk(std::int64_t count, Run&& run) {
    while (count > 0) {
      std::int64_t const now = left_ < count ? left_ : count;
      if (now > 0) {
        run(dataset_, now);
        taken_[dataset_] += now;
        left_ -= now;
        count -= now;
      }
      if (left_ == 0) {
        dataset_ = dataset_ + 1 == ratios_.size() ? 0 : dataset_ + 1;
        left_ = ratios_[dataset_];
      }
    }
  }

 private:
  std::vector<late<std::int64_t>> ratios_;
  std::vector<late<std::int64_t>> taken_;
  std::int64_t round_ = 0;
  std::size_t dataset_ = 0;  // whose turn it is
  std::int64_t left_ = 0;    // and how many more items it gives in this round
};

using Rounds = BasicRounds<>;

}  // namespace rlhf::inline v0::data
