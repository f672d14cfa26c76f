/// @file
/// Where a loader gets its draws from: a sampler's episodes, or an evaluation. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/evaluation.hpp>
#include <rlhf/data/loader_options.hpp>
#include <rlhf/data/options.hpp>
#include <rlhf/data/state.hpp>

#include <cstdint>
#include <vector>

namespace rlhf::inline v0::data {

/// One replica's part of an episode.
struct DrawnShare {
  std::vector<Draw> draws;
  std::int64_t first_id = 0;  ///< Of `draws[0]`; sample i has first_id + i.
  std::int64_t before = 0;    ///< `Sampler::consumed()` before this episode, and behind it.
  std::int64_t after = 0;
};

/// Gives share after share: `source.next(share)` replaces it by the next one, false at the end.
template <class S>
concept DrawSource = requires(S& source, DrawnShare& share) {
  { source.next(share) } -> detail::Same<bool>;
};

/// Throws `Error{invalid_argument}` unless the share is the one that a loader was inside when it
/// stood there, or begins where it stood.
inline void check_position(LoaderPosition const& saved, DrawnShare const& share) {
  // Where nothing is left out the sampler may have moved on to where the next episode begins.
  if (saved.taken > 0 ? share.before != saved.consumed : share.before < saved.consumed) {
    fail(Errc::invalid_argument, text("LoaderOptions::resume is of the episode behind ",
                                      saved.consumed, " consumed samples, the draws begin at ",
                                      share.before, "; restore the sampler from the same state"));
  }
  std::int64_t const size = static_cast<std::int64_t>(share.draws.size());
  if (saved.taken > 0 && (share.first_id != saved.first_id || size != saved.share)) {
    fail(Errc::invalid_argument,
         text("LoaderOptions::resume is inside an episode, in a share of ", saved.share,
              " samples from id ", saved.first_id, "; this share has ", size, " samples from id ",
              share.first_id, ". Go on to the end of the episode with the number of replicas and ",
              "of samples in an episode that there were, and change them there; or, to have the ",
              "whole episode again, set LoaderPosition::taken to 0"));
  }
  if (saved.taken > 0 && saved.taken >= size) {
    fail(Errc::invalid_argument,
         text("there is nothing behind ", saved.taken, " samples of a share of ", size,
              "; LoaderOptions::resume is no position of a loader"));
  }
}

/// A source that says of which run its draws are: `source.state()`, with `consumed` as it was
/// before the first of them. It is called while `next` runs on another thread.
template <class S>
concept DrawsOfSampler = DrawSource<S> && requires(S const& source) {
  static_cast<SamplerState const&>(source.state());
};

/// The episodes of a sampler, without end. Keeps a reference to it; nobody else draws, restores or
/// looks at its position meanwhile: threads of a loader draw ahead. `Loader::state()` is what a
/// checkpoint takes.
///
/// The id of a sample is its place among all samples of the run, over all replicas, copies counted:
/// the same after a resume and with another number of replicas, and never that of another sample.
/// (One exception: a run with Exhausted::drop that was begun where an episode would be left out.)
/// `Draw::id`, its place in the episode, is the Python reference's.
template <class Sampler>
class EpisodeDraws {
 public:
  /// Errors: invalid_argument unless 0 <= replica < replicas.
  EpisodeDraws(Sampler& sampler, int replica, int replicas)
      : sampler_(&sampler),
        begin_(sampler.state()),
        replica_(replica),
        replicas_(replicas) {
    if (replica < 0 || replica >= replicas) {
      fail(Errc::invalid_argument, text("replica ", replica, " is not one of ", replicas));
    }
  }

  bool next(DrawnShare& share) {
    share.before = sampler_->consumed();
    std::int64_t const samples = sampler_->next(replica_, replicas_, share.draws);
    share.after = sampler_->consumed();
    share.first_id = share.before + split_evenly(samples, replicas_, replica_).begin;
    return true;
  }
  /// The sampler's state when this was made; later ones differ in `consumed` alone.
  [[nodiscard]] SamplerState const& state() const noexcept { return begin_; }

 private:
  Sampler* sampler_;
  SamplerState begin_;
  int replica_;
  int replicas_;
};

/// One replica's share of an evaluation, then the end. Ids are those of the enumeration.
class EvaluationDraws {
 public:
  /// @param at_most Items drawn at a time: a multiple of the loader's batch size, or all there are.
  /// Keeps a reference to the sampler.
  explicit EvaluationDraws(EvaluationSampler& sampler, std::int64_t at_most = INT64_MAX)
      : sampler_(&sampler),
        at_most_(at_most) {}

  bool next(DrawnShare& share) {
    if (!sampler_->next(at_most_, share.draws)) {
      return false;
    }
    share.first_id = share.draws.front().id;
    share.before = share.first_id;
    share.after = share.first_id + static_cast<std::int64_t>(share.draws.size());
    return true;
  }

 private:
  EvaluationSampler* sampler_;
  std::int64_t at_most_;
};

}  // namespace rlhf::inline v0::data
