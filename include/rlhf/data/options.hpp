/// @file
/// What a sampler draws from, what it hands out, and the checks of both. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/interleave.hpp>
#include <rlhf/data/shares.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::data {

/// One prompt that a sampler hands out.
struct Draw {
  std::int32_t dataset = 0;  ///< Which dataset.
  std::int64_t index = 0;    ///< Which item of it.
  std::int64_t id = 0;  ///< Place of the prompt in its global episode before it was repeated; the
                        ///< same for all its copies.

  constexpr bool operator==(Draw const&) const noexcept = default;
};

/// Where the copies of a prompt stand that is generated from several times.
enum class Repeat : std::uint8_t {
  adjacent,    ///< p0 p0 p1 p1: copies together, mostly on one replica.
  whole_list,  ///< p0 p1 p0 p1: every replica sees many prompts; evens out their lengths.
};

/// How datasets get their seeds from the one seed of a sampler.
enum class Seeding : std::uint8_t {
  per_dataset,  ///< Each its own (`dataset_seed`).
  shared,  ///< All the same, so datasets of one size share their order. As the Python reference.
};

/// `adjacent`, `whole_list`.
[[nodiscard]] constexpr std::string_view to_string(Repeat repeat) noexcept {
  return repeat == Repeat::adjacent ? "adjacent" : "whole_list";
}
/// `per_dataset`, `shared`.
[[nodiscard]] constexpr std::string_view to_string(Seeding seeding) noexcept {
  return seeding == Seeding::per_dataset ? "per_dataset" : "shared";
}

/// What a sampler draws from. Use it as `SamplerOptions`.
template <class Late = void>
struct BasicSamplerOptions {
  std::vector<rlhf::detail::late<std::int64_t, Late>> dataset_sizes{};
  std::vector<rlhf::detail::late<std::int64_t, Late>>
      ratios{};  ///< Items of each dataset in a round; empty: one of each.
  std::vector<rlhf::detail::late<double, Late>>
      weights{};  ///< In place of ratios: each dataset's part, never a whole item away from it.
  std::vector<rlhf::detail::late<BasicMixStage<Late>, Late>>
      schedule{};                        ///< In place of both: weights that change on the way.
  std::int64_t samples_per_episode = 0;  ///< Over all replicas, copies counted.
  std::int64_t repeats = 1;              ///< Copies of each prompt.
  bool shuffle = true;                   ///< false: sequential, whatever the order policy.
  Repeat repeat = Repeat::adjacent;
  std::uint64_t seed = 0;
  Seeding seeding = Seeding::per_dataset;
  std::int64_t consumed = 0;  ///< Where to begin: `Sampler::consumed()` of the run to go on with.
  std::vector<rlhf::detail::late<std::uint64_t, Late>>
      dataset_fingerprints{};  ///< Of the datasets' contents, if known; one each.
};

using SamplerOptions = BasicSamplerOptions<>;

/// Largest values that the arithmetic of positions is made for.
inline constexpr std::int64_t largest_consumed = std::int64_t{1} << 60;
inline constexpr std::int64_t largest_episode = std::int64_t{1} << 40;

/// The seed of one dataset.
///
/// per_dataset: mix64 separates the seeds of runs, a multiplicative sequence those of datasets.
/// The low 32 bits, which is all that TorchOrder uses, are of that sequence too: (dataset, epoch)
/// pairs of D datasets do not meet for at least 2^32 / (3 D) epochs.
[[nodiscard]] constexpr std::uint64_t dataset_seed(std::uint64_t seed, Seeding seeding,
                                                   std::size_t dataset) noexcept {
  return seeding == Seeding::shared
             ? seed
             : mix64(seed + 0x9e3779b97f4a7c15ULL) + dataset * 0x9e3779b99e3779b9ULL;
}

namespace detail {

template <class Late = void>
void check_datasets(std::vector<rlhf::detail::late<std::int64_t, Late>> const& sizes) {
  if (sizes.empty() || sizes.size() > static_cast<std::size_t>(INT32_MAX)) {
    fail(Errc::invalid_argument,
         text("dataset_sizes must name 1 to ", INT32_MAX, " datasets, not ", sizes.size()));
  }
  std::int64_t total = 0;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] <= 0) {
      fail(Errc::invalid_argument, text("dataset ", d, " has size ", sizes[d],
                                        "; every dataset needs at least one item, leave out those "
                                        "that have none"));
    }
    if (__builtin_add_overflow(total, sizes[d], &total) || total > largest_consumed) {
      fail(Errc::invalid_argument,
           text("the datasets' sizes add up to more than ", largest_consumed, " items"));
    }
  }
}

template <class Late = void>
void check_ratios(std::vector<rlhf::detail::late<std::int64_t, Late>> const& ratios,
                  std::size_t datasets) {
  if (ratios.empty()) {
    return;
  }
  if (ratios.size() != datasets) {
    fail(Errc::invalid_argument, text("there are ", ratios.size(), " ratios for ", datasets,
                                      " datasets; give one for each, or none for one of each"));
  }
  std::int64_t sum = 0;
  for (std::size_t d = 0; d < ratios.size(); ++d) {
    if (ratios[d] < 0) {
      fail(Errc::invalid_argument,
           text("the ratio of dataset ", d, " is ", ratios[d], "; it must not be negative"));
    }
    if (__builtin_add_overflow(sum, ratios[d], &sum)) {
      fail(Errc::invalid_argument, "the ratios add up to more than 2^63 - 1");
    }
  }
  if (sum == 0) {
    fail(Errc::invalid_argument,
         "all ratios are 0, so there is nothing to draw; one of them must be positive");
  }
}

}  // namespace detail

/// The options' weights as stages of shares; none where the datasets are mixed by ratios.
///
/// Errors: invalid_argument that names the stage and the weight.
template <class Late>
[[nodiscard]] std::vector<BasicShareStage<Late>> stages_of(
    BasicSamplerOptions<Late> const& options) {
  std::size_t const datasets = options.dataset_sizes.size();
  int const given = (options.ratios.empty() ? 0 : 1) + (options.weights.empty() ? 0 : 1) +
                    (options.schedule.empty() ? 0 : 1);
  if (given > 1) {
    fail(Errc::invalid_argument,
         "ratios, weights and a schedule exclude each other; give the sampler one of them");
  }
  std::vector<BasicShareStage<Late>> stages;
  auto const add = [&](std::int64_t begin, auto const& weights) {
    if (weights.size() != datasets) {
      fail(Errc::invalid_argument, text("there are ", weights.size(), " weights for ", datasets,
                                        " datasets; give one for each"));
    }
    stages.push_back({begin, shares_of<Late>(weights)});
  };
  if (!options.weights.empty()) {
    add(0, options.weights);
  }
  for (std::size_t s = 0; s < options.schedule.size(); ++s) {
    std::int64_t const begin = options.schedule[s].begin;
    if (s == 0 ? begin != 0 : begin <= options.schedule[s - 1].begin || begin > largest_consumed) {
      fail(Errc::invalid_argument,
           text("stage ", s, " of the schedule begins at prompt ", begin, "; the first must begin ",
                "at 0, every other one behind the one before and not above ", largest_consumed));
    }
    add(begin, options.schedule[s].weights);
  }
  return stages;
}

/// Throws `Error{invalid_argument}` that says what to change unless a sampler can draw so.
template <class Late>
void check_options(BasicSamplerOptions<Late> const& options, Exhausted exhausted) {
  detail::check_datasets<Late>(options.dataset_sizes);
  detail::check_ratios<Late>(options.ratios, options.dataset_sizes.size());
  if (options.samples_per_episode < 1 || options.samples_per_episode > largest_episode) {
    fail(Errc::invalid_argument, text("samples_per_episode is ", options.samples_per_episode,
                                      "; it must be 1 to ", largest_episode));
  }
  if (options.repeats < 1 || options.samples_per_episode % options.repeats != 0) {
    fail(Errc::invalid_argument,
         text("repeats is ", options.repeats, "; it must be at least 1 and divide ",
              "samples_per_episode, which is ", options.samples_per_episode));
  }
  if (options.consumed < 0 || options.consumed > largest_consumed ||
      options.consumed % options.repeats != 0) {
    fail(Errc::invalid_argument,
         text("consumed is ", options.consumed, "; it counts samples, so it must be a multiple of ",
              "repeats, which is ", options.repeats, ", from 0 to ", largest_consumed));
  }
  if (exhausted != Exhausted::cycle && options.dataset_sizes.size() != 1) {
    fail(Errc::invalid_argument,
         text("Exhausted::", to_string(exhausted), " needs exactly one dataset, there are ",
              options.dataset_sizes.size(), "; use Exhausted::cycle for a mixture"));
  }
  if (!options.dataset_fingerprints.empty() &&
      options.dataset_fingerprints.size() != options.dataset_sizes.size()) {
    fail(Errc::invalid_argument,
         text("there are ", options.dataset_fingerprints.size(), " fingerprints for ",
              options.dataset_sizes.size(), " datasets; give one for each, or none"));
  }
}

}  // namespace rlhf::inline v0::data
