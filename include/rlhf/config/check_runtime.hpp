/// @file
/// What settings of the section `runtime` ask of each other. Layer: config.
#pragma once

#include <rlhf/config/config.hpp>
#include <rlhf/config/faults.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::config {
namespace detail {

inline void check_data(Runtime const& runtime, Checks const& checks) {
  std::size_t const datasets = runtime.data_path.size();
  checks.require(runtime.data_ratio.empty() || runtime.data_weights.empty(), "data_weights",
                 "excludes data_ratio; give one of them");
  checks.require(runtime.data_ratio.empty() || runtime.data_ratio.size() == datasets, "data_ratio",
                 "has ", runtime.data_ratio.size(), " numbers for ", datasets,
                 " datasets in data_path; give one for each");
  checks.require(runtime.data_weights.empty() || runtime.data_weights.size() == datasets,
                 "data_weights", "has ", runtime.data_weights.size(), " numbers for ", datasets,
                 " datasets in data_path; give one for each");
  bool any_ratio = runtime.data_ratio.empty();
  for (std::int64_t const ratio : runtime.data_ratio) {
    any_ratio = any_ratio || ratio > 0;
  }
  checks.require(any_ratio, "data_ratio", "is 0 for every dataset; one must be positive");
  double sum = 0;
  for (double const weight : runtime.data_weights) {
    sum += weight;
  }
  bool tiny = false;
  for (double const weight : runtime.data_weights) {
    tiny = tiny || (weight > 0 && !(weight / sum > 0x1p-20));
  }
  checks.require(runtime.data_weights.empty() || (sum > 0 && sum < 1e300), "data_weights",
                 "add up to ", sum, "; their sum must be positive and below 1e300");
  checks.require(!(sum > 0) || !tiny, "data_weights",
                 "has one below 2^-20 of all; make it larger or 0");
  checks.require(runtime.data_exhaustion == data::Exhausted::cycle || datasets <= 1,
                 "data_exhaustion", "must be cycle for a mixture of ", datasets, " datasets");
}

inline void check_episodes(Runtime const& runtime, Checks const& checks) {
  std::int64_t const global = runtime.global_batch();
  checks.require(global % runtime.train_micro_batch_size == 0, "train_global_batch_size",
                 "must be a multiple of train_micro_batch_size, which is ",
                 runtime.train_micro_batch_size);
  checks.require(
      global <= runtime.sample_per_episode,
      runtime.train_global_batch_size ? "train_global_batch_size" : "train_micro_batch_size",
      "must not be more than sample_per_episode, which is ", runtime.sample_per_episode);
  checks.require(!runtime.enable_eval_before_training || runtime.eval_episode_interval > 0,
                 "enable_eval_before_training",
                 "needs an eval_episode_interval of at least 1, which is 0: never");
  checks.require(runtime.relay_episode_offset == 0 || runtime.max_relay_episode != 0,
                 "relay_episode_offset",
                 "has no effect while max_relay_episode is 0; set that, or leave this out");
  checks.require(runtime.exp_name.find('/') == std::string::npos, "exp_name",
                 "must not contain a slash; put folders into output_dir");
  checks.require(runtime.load_data_checkpoint_iteration < 0 || runtime.enable_resume_training,
                 "load_data_checkpoint_iteration",
                 "needs enable_resume_training; set that to true, or leave this out");
}

inline void check_colocation(Config const& config, Checks const& checks) {
  std::vector<std::string_view> seen;
  for (std::size_t g = 0; g < config.runtime.colocation.size(); ++g) {
    auto const& group = config.runtime.colocation[g];
    std::string const key = text("colocation[", g, "]");
    checks.require(!group.empty(), key, "names no model; leave the group out");
    for (std::string const& name : group) {
      checks.require(config.models.find(name) != nullptr, key, "names \"", name,
                     "\", which is no model", config.models.advice(name));
      for (std::string_view const other : seen) {
        checks.require(other != name, key, "names \"", name,
                       "\" a second time; a model is in one group at most");
      }
      seen.push_back(name);
    }
  }
}

}  // namespace detail

/// What is wrong within the section `runtime`, and with its groups of models.
inline void check_runtime(Config const& config, Faults& out) {
  detail::Checks const checks(out, "runtime");
  detail::check_episodes(config.runtime, checks);
  detail::check_data(config.runtime, checks);
  detail::check_colocation(config, checks);
}

}  // namespace rlhf::inline v0::config
