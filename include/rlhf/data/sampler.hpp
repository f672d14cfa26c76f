/// @file
/// Draws the prompts of episode after episode, the same on every rank. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/check.hpp>
#include <rlhf/data/cursor.hpp>
#include <rlhf/data/interleave.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/options.hpp>
#include <rlhf/data/order.hpp>
#include <rlhf/data/state.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// An endless run of episodes over one or several datasets.
///
/// The global order is a pure function of the options; a replica computes its own contiguous share
/// of an episode and no more, so replicas need no agreement and their number may change at any
/// episode. Which dataset a prompt comes from is a function of its place in the run (`Interleave`):
/// rounds of integer ratios, real weights, or a schedule of weights. Each dataset goes through its
/// own epochs. `consumed()` is all that a resumed run needs: it then draws exactly what it would
/// have drawn had it not stopped, in every mode.
///
/// What differs from how the Python reference counts and resumes, and why:
///
/// | reference | here |
/// |---|---|
/// | retain: an epoch that is a multiple of the episode ends in an empty episode | none is empty |
/// | retain: `consumed` counts full episodes; a resumed run is elsewhere | counts what was drawn |
/// | drop: a start inside what is left out reads it | the same; `consumed` says where that leads |
/// | drop, retain: cycle without a word over several datasets | an error |
/// | one seed for all datasets: equal sizes, equal orders | `Seeding::shared`; else one each |
/// | stored ratios win over those of the resumed run, without a word | an error that names both |
/// | a dataset that changed goes unnoticed | an error, by size and fingerprint |
/// | an episode of no samples, ratios of 0, empty datasets: a division by zero or no end | errors |
///
/// Errors of a resume name the member of `AcceptedChanges` that goes on all the same.
///
/// @tparam Order An OrderPolicy.
/// @tparam Mode  What happens at the end of a dataset; drop and retain need exactly one dataset.
/// Cost: a look-up in the order for each prompt of the share (not its copies), and what
/// `Interleave` takes to go there. Memory: for a dataset and epoch in use, one permutation; of a
/// mixture or of repeated prompts, one share.
/// Thread safety: one caller.
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
  explicit Sampler(Options options) : options_(std::move(options)), stages_(stages_of(options_)) {
    check_options(options_, Mode);
    std::size_t const datasets = options_.dataset_sizes.size();
    if (options_.ratios.empty() && stages_.empty()) {
      options_.ratios.assign(datasets, 1);
    }
    for (std::size_t d = 0; d < datasets; ++d) {
      std::int64_t const size = options_.dataset_sizes[d];
      if (options_.shuffle && size > largest_size_of<Order>()) {
        fail(Errc::invalid_argument,
             text("dataset ", d, " has ", size, " items, the order ", order_name<Order>(),
                  " serves at most ", largest_size_of<Order>(), "; choose another order, such as ",
                  "data::KeyedOrder"));
      }
      cursors_.emplace_back(CursorOptions{
          .size = size,
          .batch = prompts_per_episode(),
          .seed = dataset_seed(options_.seed, options_.seeding, d),
          .shuffle = options_.shuffle,
      });
    }
    if (datasets > 1) {
      first_.resize(datasets);
      if (stages_.empty()) {
        interleave_.emplace(options_.ratios);
      } else {
        interleave_.emplace(stages_);
      }
    }
    seek(options_.consumed);
  }

  /// Replaces `out` by this replica's share of the next episode and moves behind that episode.
  ///
  /// Every replica calls it once an episode. Shares are contiguous, in replica order, and differ by
  /// at most one sample; a replica beyond the number of samples gets none. Returns the samples of
  /// the episode, all shares together.
  /// Errors: invalid_argument unless 0 <= replica < replicas. After an error nothing has moved.
  std::int64_t next(int replica, int replicas, std::vector<late<Draw>>& out) {
    if (replica < 0 || replica >= replicas) {
      fail(Errc::invalid_argument, text("replica ", replica, " is not one of ", replicas));
    }
    std::int64_t const prompts =
        interleave_ ? prompts_per_episode() : cursors_[0].available(prompts_per_episode());
    IndexRange const range = split_evenly(prompts * options_.repeats, replicas, replica);
    try {
      share(prompts, range, out);
    } catch (...) {
      seek(options_.consumed);
      throw;
    }
    options_.consumed = position() * options_.repeats;
    return prompts * options_.repeats;
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
                 .stages = stages_,
                 .dataset_fingerprints = options_.dataset_fingerprints};
  }
  /// Goes where the state was taken.
  ///
  /// With another size of episodes, accepted, it still goes on exactly there: cycle and retain in
  /// every case. With drop, where what is left out depends on the size, the same number of samples
  /// is mostly another place; that is an error which names the `consumed` of the right one.
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
    if constexpr (Mode == Exhausted::drop) {
      expect_same_place(saved);
    }
    seek(saved.consumed);
  }

 private:
  [[nodiscard]] std::int64_t prompts_per_episode() const noexcept {
    return options_.samples_per_episode / options_.repeats;
  }
  /// Prompts taken so far, over all datasets.
  [[nodiscard]] std::int64_t position() const noexcept {
    return interleave_ ? position_ : cursors_[0].position();
  }
  /// With drop: throws where the state's number of samples is another place of the order here.
  void expect_same_place(State const& saved) const {
    std::int64_t const size = options_.dataset_sizes[0];
    std::int64_t const prompts = saved.repeats > 0 ? saved.samples_per_episode / saved.repeats : 0;
    if (saved.exhausted != Mode || saved.dataset_sizes != options_.dataset_sizes ||
        (prompts == prompts_per_episode() && saved.repeats == options_.repeats)) {
      return;
    }
    expects(prompts > 0 && prompts <= size, "the sampler state has episodes that no run can have");
    Items was(CursorOptions{.size = size, .batch = prompts});
    was.seek(saved.consumed / saved.repeats);
    Items now(CursorOptions{.size = size, .batch = prompts_per_episode()});
    std::int64_t const same = now.position_of(was.epoch(), was.offset());
    now.seek(saved.consumed / options_.repeats);
    if (now.position() != same) {
      fail(Errc::invalid_argument,
           text("the sampler state stands in epoch ", was.epoch(), ", behind ", was.offset(),
                " items of it. With Exhausted::drop, of episodes of ", prompts_per_episode(),
                " prompts instead of ", prompts, ", ", saved.consumed,
                " consumed samples would be another place. Keep the episodes, or go on there with ",
                "a sampler made with SamplerOptions::consumed = ", same * options_.repeats));
    }
  }
  /// Goes where a run stands that has taken `consumed` samples.
  void seek(std::int64_t consumed) noexcept {
    position_ = consumed / options_.repeats;
    if (!interleave_) {
      cursors_[0].seek(position_);
    }
    options_.consumed = position() * options_.repeats;
  }

  /// Puts the samples of `range` into `out` and moves behind the episode of so many prompts.
  void share(std::int64_t prompts, IndexRange range, std::vector<late<Draw>>& out) {
    std::int64_t const repeats = options_.repeats;
    out.resize(static_cast<std::size_t>(range.size()));
    if (repeats == 1) {
      draw(prompts, range, out.data());
    } else if (options_.repeat == Repeat::adjacent) {
      IndexRange const needed{range.begin / repeats, ceil_div(range.end, repeats)};
      prompts_.resize(static_cast<std::size_t>(needed.size()));
      draw(prompts, needed, prompts_.data());
      std::size_t prompt = 0;
      std::int64_t copy = range.begin % repeats;
      for (late<Draw>& sample : out) {
        sample = prompts_[prompt];
        if (++copy == repeats) {
          copy = 0;
          ++prompt;
        }
      }
    } else {
      // The range winds around the list of prompts: a piece in its middle, or all of it where
      // pieces are wanted at both ends.
      std::int64_t const first = range.begin % prompts;  // an episode has at least one
      bool const whole = first + range.size() > prompts;
      IndexRange const needed{whole ? 0 : first, whole ? prompts : first + range.size()};
      prompts_.resize(static_cast<std::size_t>(needed.size()));
      draw(prompts, needed, prompts_.data());
      std::size_t prompt = whole ? static_cast<std::size_t>(first) : 0;
      for (late<Draw>& sample : out) {
        sample = prompts_[prompt];
        prompt = prompt + 1 == prompts_.size() ? 0 : prompt + 1;
      }
    }
  }

  /// Puts the prompts of `range` to `out` and moves behind the episode of so many prompts.
  void draw(std::int64_t prompts, IndexRange range, late<Draw>* out) {
    std::int64_t id = range.begin;
    if (!interleave_) {
      cursors_[0].take_part(prompts_per_episode(), range.begin, range.end, [&](std::int64_t index) {
        *out++ = Draw{0, index, id++};
      });
      return;
    }
    if (range.size() > 0) {
      draw_mixed(range, out);
    }
    position_ += prompts;
  }
  /// First which dataset each prompt is of, then the items of each dataset in one go, then both
  /// together: orders are quicker over many positions.
  void draw_mixed(IndexRange range, late<Draw>* out) {
    interleave_->seek(position_ + range.begin);
    for (std::size_t d = 0; d < cursors_.size(); ++d) {
      cursors_[d].seek(interleave_->taken(d));
      first_[d] = interleave_->taken(d);
    }
    std::size_t prompt = 0;
    std::int64_t id = range.begin;
    interleave_->walk(range.size(), [&](std::size_t d, std::int64_t count) {
      for (; count > 0; --count) {
        out[prompt++] = Draw{static_cast<std::int32_t>(d), 0, id++};
      }
    });
    items_.resize(static_cast<std::size_t>(range.size()));
    std::int64_t filled = 0;
    for (std::size_t d = 0; d < cursors_.size(); ++d) {
      std::int64_t const count = interleave_->taken(d) - first_[d];
      first_[d] = filled;
      cursors_[d].take(count, [&, this](std::int64_t index) {
        items_[static_cast<std::size_t>(filled++)] = index;
      });
    }
    for (std::size_t i = 0; i < items_.size(); ++i) {
      out[i].index =
          items_[static_cast<std::size_t>(first_[static_cast<std::size_t>(out[i].dataset)]++)];
    }
  }

  Options options_;
  std::vector<late<ShareStage>> stages_;
  std::vector<Items> cursors_;
  std::optional<late<Interleave>> interleave_;  // where there are several datasets
  std::int64_t position_ = 0;                   // of the next episode's first prompt
  std::vector<late<Draw>> prompts_;
  std::vector<late<std::int64_t>> items_;  // of a share, dataset by dataset
  std::vector<late<std::int64_t>> first_;  // of each dataset in it
};

/// The sampler that a data policy asks for.
template <class Policy>
using SamplerOf = Sampler<typename Policy::Order, Policy::exhausted>;

/// A sampler as the policy says: order, mode and, unless known only at run time, ratios or weights.
///
/// Errors: invalid_argument when the options name another number of datasets or another mixture
/// than the policy.
template <class Policy>
  requires CheckDataPolicy<Policy>::value &&(!DrawsNothing<Policy>)
      [[nodiscard]] SamplerOf<Policy> make_sampler(
          rlhf::detail::late<SamplerOptions, Policy> options) {
    if constexpr (Policy::dataset_count != 0) {
      constexpr std::size_t datasets = static_cast<std::size_t>(Policy::dataset_count);
      if (options.dataset_sizes.size() != datasets) {
        fail(Errc::invalid_argument,
             text("the data policy mixes ", datasets, " datasets, the options name ",
                  options.dataset_sizes.size()));
      }
      using Value = std::conditional_t<NamesWeight<Policy>, double, std::int64_t>;
      std::vector<rlhf::detail::late<Value, Policy>> mixture;
      for (int d = 0; d < Policy::dataset_count; ++d) {
        if constexpr (NamesWeight<Policy>) {
          mixture.push_back(Policy::weight(d));
        } else {
          mixture.push_back(Policy::ratio(d));
        }
      }
      auto& own = [&]() -> auto& {
        if constexpr (NamesWeight<Policy>) {
          return options.weights;
        } else {
          return options.ratios;
        }
      }
      ();
      bool const only = own.empty() || own == mixture;
      own.clear();
      if (!only || !options.ratios.empty() || !options.weights.empty() ||
          !options.schedule.empty()) {
        fail(Errc::invalid_argument,
             "the options' ratios, weights or schedule differ from those of the data policy; leave "
             "them empty, or use data::RuntimeMixture");
      }
      own = std::move(mixture);
    }
    return SamplerOf<Policy>(std::move(options));
  }

}  // namespace rlhf::inline v0::data
