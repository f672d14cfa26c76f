/// @file
/// Which dataset each prompt of a run comes from. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/quota.hpp>
#include <rlhf/data/rounds.hpp>
#include <rlhf/data/shares.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// Weights that hold from a prompt of the run on. Use it as `MixStage`.
template <class Late = void>
struct BasicMixStage {
  std::int64_t begin = 0;  ///< Prompts drawn before, over all replicas, copies not counted.
  std::vector<rlhf::detail::late<double, Late>>
      weights{};  ///< One for each dataset; see shares_of.
};

using MixStage = BasicMixStage<>;

/// The same with weights as shares: as it is stored.
template <class Late = void>
struct BasicShareStage {
  std::int64_t begin = 0;
  std::vector<rlhf::detail::late<std::int64_t, Late>> shares{};  ///< Adding up to `whole_share`.

  bool operator==(BasicShareStage const&) const = default;
};

using ShareStage = BasicShareStage<>;

/// A mixture of datasets as a function of the place in the run: integer ratios in rounds, or stages
/// of real weights. Each stage counts anew: of the prompts since its begin, each dataset has its
/// weight's part, never a whole item away.
///
/// Memory: some numbers for each stage and dataset. Thread safety: one caller.
/// Use it as `Interleave`.
template <class Late = void>
class BasicInterleave {
  template <class T>
  using late = rlhf::detail::late<T, Late>;
  using Stage = BasicShareStage<Late>;

 public:
  /// Rounds of ratios; see `BasicRounds`.
  explicit BasicInterleave(std::vector<late<std::int64_t>> ratios) : rounds_(std::move(ratios)) {}
  /// Stages; requires one or more that `check_stages` accepts.
  /// Cost: a seek for each stage.
  explicit BasicInterleave(std::vector<Stage> const& stages)
      : rounds_(std::vector<late<std::int64_t>>(stages.front().shares.size(), 1)) {
    std::size_t const datasets = stages.front().shares.size();
    std::vector<late<std::int64_t>> before(datasets, 0);
    for (std::size_t s = 0; s < stages.size(); ++s) {
      expects(stages[s].shares.size() == datasets, "every stage must name all datasets");
      pieces_.push_back(
          Piece{stages[s].begin, INT64_MAX, before, BasicQuota<Late>(stages[s].shares)});
      if (s + 1 < stages.size()) {
        Piece& piece = pieces_.back();
        piece.end = stages[s + 1].begin;
        BasicQuota<Late> to_end = piece.quota;
        to_end.seek(piece.end - piece.begin);
        for (std::size_t d = 0; d < datasets; ++d) {
          before[d] += to_end.taken(d);
        }
      }
    }
  }

  /// Goes where `position` >= 0 prompts have been drawn.
  void seek(std::int64_t position) {
    if (pieces_.empty()) {
      rounds_.seek(position);
      return;
    }
    piece_ = 0;
    while (position >= pieces_[piece_].end) {
      ++piece_;
    }
    pieces_[piece_].quota.seek(position - pieces_[piece_].begin);
  }
  /// How many of the prompts so far are of a dataset.
  [[nodiscard]] std::int64_t taken(std::size_t dataset) const noexcept {
    return pieces_.empty() ? rounds_.taken(dataset)
                           : pieces_[piece_].before[dataset] + pieces_[piece_].quota.taken(dataset);
  }
  /// Goes on by `count` prompts and calls `run(dataset, n)` for each n >= 1 of them that follow
  /// each other in one dataset.
  template <class Run>
  void walk(std::int64_t count, Run&& run) {
    if (pieces_.empty()) {
      rounds_.walk(count, run);
      return;
    }
    while (count > 0) {
      Piece& piece = pieces_[piece_];
      std::int64_t const left = piece.end - piece.begin - piece.quota.position();
      std::int64_t const now = left < count ? left : count;
      piece.quota.walk(now, run);
      count -= now;
      if (now == left) {
        pieces_[++piece_].quota.seek(0);
      }
    }
  }

 private:
  struct Piece {
    std::int64_t begin;
    std::int64_t end;
    std::vector<late<std::int64_t>> before;  // items of each dataset in earlier stages
    BasicQuota<Late> quota;
  };

  BasicRounds<Late> rounds_;
  std::vector<late<Piece>> pieces_;
  std::size_t piece_ = 0;
};

using Interleave = BasicInterleave<>;

/// Stages that lead in equal steps from one mixture to another: before `begin` the first, from
/// `end` on the last, `steps` in between. Weights are taken as parts of their sum.
///
/// Errors: invalid_argument unless 0 < begin, steps >= 1, there is a prompt for each step, and
/// both mixtures are of the same datasets; see `shares_of`, too.
template <class Late = void>
[[nodiscard]] std::vector<BasicMixStage<Late>> ramp(
    std::vector<rlhf::detail::late<double, Late>> const& first,
    std::vector<rlhf::detail::late<double, Late>> const& last, std::int64_t begin, std::int64_t end,
    std::int64_t steps) {
  if (begin < 1 || steps < 1 || end < begin || end - begin < steps || first.size() != last.size()) {
    fail(Errc::invalid_argument,
         text("a ramp from prompt ", begin, " to ", end, " in ", steps, " steps, from ",
              first.size(), " weights to ", last.size(), ", cannot be made; it needs 0 < begin, ",
              "a prompt for each step, and as many weights at both ends"));
  }
  auto const from = shares_of<Late>(first);
  auto const to = shares_of<Late>(last);
  std::vector<BasicMixStage<Late>> stages;
  stages.push_back({0, first});
  std::int64_t const whole = (end - begin) / steps;
  std::int64_t const rest = (end - begin) % steps;
  for (std::int64_t i = 0; i < steps; ++i) {
    BasicMixStage<Late>& stage = stages.emplace_back();
    stage.begin = begin + i * whole + (i < rest ? i : rest);
    for (std::size_t d = 0; d < from.size(); ++d) {
      std::int64_t const step = (to[d] - from[d]) / (steps + 1);  // in integers: equal everywhere
      stage.weights.push_back(static_cast<double>(from[d] + step * (i + 1)));
    }
  }
  stages.push_back({end, last});
  return stages;
}

}  // namespace rlhf::inline v0::data
