/// @file
/// Draws the prompts of episode after episode, the same on every rank. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/check.hpp>
#include <rlhf/data/cursor.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/options.hpp>
#include <rlhf/data/order.hpp>
#include <rlhf/data/state.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// An endless run of episodes over one or several datasets.
///
/// The global order is a pure function of the options; each replica computes it and keeps its own
/// contiguous share, so replicas need no agreement and their number may change at any episode.
/// A round of the mixture takes `ratios[0]` items of dataset 0, then `ratios[1]` of dataset 1, and
/// so on; an episode may end inside a round, the next one goes on there. Each dataset goes through
/// its own epochs. `consumed()` is all that a resumed run needs: it then draws exactly what it
/// would have drawn had it not stopped, in every mode.
///
/// With Exhausted::retain an episode may be shorter than samples_per_episode; `consumed()` counts
/// what was really drawn. (The Python reference counts full episodes and so drifts on resume.)
/// With Exhausted::drop items that are left out are not counted, so a run that starts inside what
/// would be left out may report the position behind it.
///
/// @tparam Order An OrderPolicy.
/// @tparam Mode  What happens at the end of a dataset; drop and retain need exactly one dataset.
/// Cost: the prompts of an episode (not their copies) on every replica; memory for one episode and,
/// for a dataset and epoch in use, one permutation. Thread safety: one caller.
template <class Order = TorchOrder, Exhausted Mode = Exhausted::cycle>
class Sampler {
  static_assert(OrderPolicy<Order>,
                "[rlhf:data.order] the order of a Sampler must have a Permutation that is built "
                "from (seed, epoch, size) and indexed by std::int64_t; see data/concepts.hpp");
  // Where the assertion fails, something that compiles, so that it is the only error.
  using Items = Cursor<std::conditional_t<OrderPolicy<Order>, Order, SequentialOrder>, Mode>;
  template <class T>
  using late = rlhf::detail::late<T, Order>;
  using Options = late<SamplerOptions>;
  using State = late<SamplerState>;

 public:
  /// Errors: invalid_argument for options that do not fit together; see `check_options`.
  explicit Sampler(Options options) : options_(std::move(options)) {
    check_options(options_, Mode);
    std::size_t const datasets = options_.dataset_sizes.size();
    if (options_.ratios.empty()) {
      options_.ratios.assign(datasets, 1);
    }
    for (std::size_t d = 0; d < datasets; ++d) {
      std::int64_t const size = options_.dataset_sizes[d];
      if (options_.shuffle && size > largest_size_of<Order>()) {
        fail(Errc::invalid_argument,
             text("dataset ", d, " has ", size, " items, the order ", order_name<Order>(),
                  " serves at most ", largest_size_of<Order>(), "; choose another order"));
      }
      cursors_.emplace_back(CursorOptions{
          .size = size,
          .batch = prompts_per_episode(),
          .seed = dataset_seed(options_.seed, options_.seeding, d),
          .shuffle = options_.shuffle,
      });
      round_ += options_.ratios[d];
    }
    credits_ = options_.ratios;
    seek(options_.consumed);
  }

  /// Replaces `out` by this replica's share of the next episode and moves behind that episode.
  ///
  /// Every replica calls it once an episode. Shares are contiguous, in replica order, and differ by
  /// at most one sample; a replica beyond the number of samples gets none.
  /// Errors: invalid_argument unless 0 <= replica < replicas. After an error nothing has moved.
  void next(int replica, int replicas, std::vector<late<Draw>>& out) {
    if (replica < 0 || replica >= replicas) {
      fail(Errc::invalid_argument, text("replica ", replica, " is not one of ", replicas));
    }
    try {
      draw_prompts();
      std::int64_t const prompts = static_cast<std::int64_t>(prompts_.size());
      share(prompts, split_evenly(prompts * options_.repeats, replicas, replica), out);
    } catch (...) {
      seek(options_.consumed);
      throw;
    }
    options_.consumed = position() * options_.repeats;
  }

  /// Samples drawn so far over all replicas, copies counted: where a run goes on from here.
  [[nodiscard]] std::int64_t consumed() const noexcept { return options_.consumed; }
  [[nodiscard]] Options const& options() const noexcept { return options_; }

  [[nodiscard]] State state() const {
    return State{.consumed = options_.consumed,
                 .samples_per_episode = options_.samples_per_episode,
                 .repeats = options_.repeats,
                 .shuffle = options_.shuffle,
                 .repeat = options_.repeat,
                 .seed = options_.seed,
                 .seeding = options_.seeding,
                 .order = std::string(order_name<Order>()),
                 .exhausted = Mode,
                 .dataset_sizes = options_.dataset_sizes,
                 .ratios = options_.ratios,
                 .fingerprints = options_.fingerprints};
  }
  /// Goes where the state was taken.
  ///
  /// Errors: invalid_argument that names what differs between the state and this sampler and is not
  /// accepted, or a position that this sampler cannot take. After an error nothing has moved.
  void restore(State const& saved, AcceptedChanges const& accepted = {}) {
    check_compatible(saved, state(), accepted);
    if (saved.consumed < 0 || saved.consumed > largest_consumed ||
        saved.consumed % options_.repeats != 0) {
      fail(Errc::invalid_argument,
           text("the sampler state stands at ", saved.consumed, " consumed samples, which is no ",
                "multiple of repeats, ", options_.repeats, ", up to ", largest_consumed));
    }
    seek(saved.consumed);
  }

 private:
  [[nodiscard]] std::int64_t prompts_per_episode() const noexcept {
    return options_.samples_per_episode / options_.repeats;
  }
  /// Prompts taken so far, over all datasets.
  [[nodiscard]] std::int64_t position() const noexcept {
    std::int64_t sum = 0;
    for (Items const& cursor : cursors_) {
      sum += cursor.position();
    }
    return sum;
  }
  /// Goes where a run stands that has taken `consumed` samples: whole rounds, then what is left of
  /// them filled up in the order of the datasets.
  void seek(std::int64_t consumed) noexcept {
    std::int64_t const taken = consumed / options_.repeats;
    std::int64_t const rounds = taken / round_;
    std::int64_t left = taken % round_;
    for (std::size_t d = 0; d < cursors_.size(); ++d) {
      std::int64_t const ratio = options_.ratios[d];
      std::int64_t const now = left < ratio ? left : ratio;
      cursors_[d].seek(rounds * ratio + now);
      credits_[d] = ratio - now;
      left -= now;
    }
    options_.consumed = position() * options_.repeats;
  }
  void draw_prompts() {
    std::int64_t const count = prompts_per_episode();
    prompts_.clear();
    prompts_.reserve(static_cast<std::size_t>(count));
    if (cursors_.size() == 1) {
      take(0, count);  // a ratio changes nothing
      return;
    }
    std::int64_t left = count;
    std::size_t d = 0;
    while (left > 0) {
      std::int64_t const now = left < credits_[d] ? left : credits_[d];
      take(d, now);
      credits_[d] -= now;
      left -= now;
      if (++d == cursors_.size()) {
        d = 0;
        if (credits_.back() == 0) {
          credits_ = options_.ratios;  // the round is complete: nothing was left before the last
        }
      }
    }
  }
  void take(std::size_t d, std::int64_t count) {
    cursors_[d].take(count, [&](std::int64_t index) {
      prompts_.push_back(
          Draw{static_cast<std::int32_t>(d), index, static_cast<std::int64_t>(prompts_.size())});
    });
  }
  void share(std::int64_t prompts, IndexRange range, std::vector<late<Draw>>& out) const {
    out.clear();
    out.reserve(static_cast<std::size_t>(range.size()));
    if (options_.repeat == Repeat::adjacent) {
      std::int64_t prompt = range.begin / options_.repeats;
      std::int64_t copy = range.begin % options_.repeats;
      for (std::int64_t i = range.begin; i < range.end; ++i) {
        out.push_back(prompts_[static_cast<std::size_t>(prompt)]);
        if (++copy == options_.repeats) {
          copy = 0;
          ++prompt;
        }
      }
    } else {
      std::int64_t prompt = range.begin % prompts;  // an episode has at least one
      for (std::int64_t i = range.begin; i < range.end; ++i) {
        out.push_back(prompts_[static_cast<std::size_t>(prompt)]);
        prompt = prompt + 1 == prompts ? 0 : prompt + 1;
      }
    }
  }

  Options options_;
  std::vector<Items> cursors_;
  std::vector<late<std::int64_t>> credits_;  // items of each dataset that are left in this round
  std::int64_t round_ = 0;
  std::vector<late<Draw>> prompts_;
};

/// The sampler that a data policy asks for.
template <class Policy>
using SamplerOf = Sampler<typename Policy::Order, Policy::exhausted>;

/// A sampler as the policy says: order, mode and, unless known only at run time, ratios.
///
/// Errors: invalid_argument when the options name another number of datasets or other ratios than
/// the policy.
template <class Policy>
  requires CheckDataPolicy<Policy>::value &&(!DrawsNothing<Policy>)
      [[nodiscard]] SamplerOf<Policy> make_sampler(
          rlhf::detail::late<SamplerOptions, Policy> options) {
    if constexpr (Policy::dataset_count != 0) {
      std::vector<rlhf::detail::late<std::int64_t, Policy>> ratios;
      for (int d = 0; d < Policy::dataset_count; ++d) {
        ratios.push_back(Policy::ratio(d));
      }
      if (options.dataset_sizes.size() != ratios.size()) {
        fail(Errc::invalid_argument,
             text("the data policy mixes ", ratios.size(), " datasets, the options name ",
                  options.dataset_sizes.size()));
      }
      if (!options.ratios.empty() && options.ratios != ratios) {
        fail(Errc::invalid_argument,
             "the options' ratios differ from those of the data policy; leave them empty, or use "
             "data::RuntimeMixture");
      }
      options.ratios = std::move(ratios);
    }
    return SamplerOf<Policy>(std::move(options));
  }

}  // namespace rlhf::inline v0::data
