/// @file
/// Where a loader gets its draws from: a sampler's episodes, or an evaluation. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/evaluation.hpp>
#include <rlhf/data/options.hpp>

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

/// The episodes of a sampler, without end. Keeps a reference to it; nobody else draws meanwhile.
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
        replica_(replica),
        replicas_(replicas),
        full_(sampler.state().exhausted != Exhausted::retain) {
    if (replica < 0 || replica >= replicas) {
      fail(Errc::invalid_argument, text("replica ", replica, " is not one of ", replicas));
    }
  }

  bool next(DrawnShare& share) {
    share.before = sampler_->consumed();
    sampler_->next(replica_, replicas_, share.draws);
    share.after = sampler_->consumed();
    std::int64_t const samples =
        full_ ? sampler_->options().samples_per_episode : share.after - share.before;
    share.first_id = share.before + split_evenly(samples, replicas_, replica_).begin;
    return true;
  }

 private:
  Sampler* sampler_;
  int replica_;
  int replicas_;
  bool full_;
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
