/// @file
/// Every item of all datasets once, in order, split over replicas. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/options.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// Which of `total` items a replica evaluates: contiguous, shares differ by at most one item.
///
/// Errors: invalid_argument unless 0 <= replica < replicas and total >= 0.
[[nodiscard]] inline IndexRange evaluation_slice(std::int64_t total, int replica, int replicas) {
  if (replica < 0 || replica >= replicas || total < 0) {
    fail(Errc::invalid_argument,
         text("replica ", replica, " of ", replicas, " cannot evaluate ", total, " items"));
  }
  return split_evenly(total, replicas, replica);
}

/// Goes through one replica's share of an evaluation, then ends.
///
/// The share depends on the items there really are, not on an episode's size: every item comes
/// exactly once over all replicas, whatever the number of either. (Older versions of the Python
/// reference cut episodes first and could leave a replica without work.) A Draw's id is the item's
/// place in the enumeration of all datasets. Nothing is shuffled or repeated.
/// Thread safety: one caller. Use it as `EvaluationSampler`.
template <class Late = void>
class BasicEvaluationSampler {
 public:
  /// Errors: invalid_argument for a size below 0, or a replica that there is not.
  BasicEvaluationSampler(std::vector<rlhf::detail::late<std::int64_t, Late>> dataset_sizes,
                         int replica, int replicas)
      : sizes_(std::move(dataset_sizes)) {
    std::int64_t total = 0;
    for (std::int64_t const size : sizes_) {
      expects(size >= 0, "the size of a dataset must not be negative");
      expects(!__builtin_add_overflow(total, size, &total),
              "the datasets' sizes must add up to less than 2^63 items");
    }
    slice_ = evaluation_slice(total, replica, replicas);
    reset();
  }

  /// Replaces `out` by the next items of the share, at most `at_most` > 0. False when there were
  /// none left, and again at every later call until `reset`.
  bool next(std::int64_t at_most, std::vector<rlhf::detail::late<Draw, Late>>& out) {
    expects(at_most > 0, "an evaluation batch needs room for at least one item");
    out.clear();
    std::int64_t const left = slice_.end - id_;
    std::int64_t const count = at_most < left ? at_most : left;
    out.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i, ++id_) {
      while (id_ - first_id_ >= sizes_[dataset_]) {
        first_id_ += sizes_[dataset_++];
      }
      out.push_back(Draw{static_cast<std::int32_t>(dataset_), id_ - first_id_, id_});
    }
    return count != 0;
  }

  /// Begins the share again.
  void reset() noexcept {
    id_ = slice_.begin;
    dataset_ = 0;
    first_id_ = 0;
  }
  /// The ids of this replica's share.
  [[nodiscard]] IndexRange slice() const noexcept { return slice_; }

 private:
  std::vector<rlhf::detail::late<std::int64_t, Late>> sizes_;
  IndexRange slice_;
  std::int64_t id_ = 0;      // next to hand out
  std::size_t dataset_ = 0;  // whose items are at first_id_ and on
  std::int64_t first_id_ = 0;
};

using EvaluationSampler = BasicEvaluationSampler<>;

}  // namespace rlhf::inline v0::data
