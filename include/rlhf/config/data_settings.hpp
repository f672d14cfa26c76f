/// @file
/// Which prompts a run draws, in which order. Layer: config.
#pragma once

#include <rlhf/config/limits.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/options.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::config {

template <>
struct Choices<data::Exhausted> {
  static constexpr std::string_view names[] = {"cycle", "drop", "retain"};
};
template <>
struct Choices<data::Seeding> {
  static constexpr std::string_view names[] = {"per_dataset", "shared"};
};

/// The order policy that a program instantiates for a run.
enum class DataOrder : std::uint8_t {
  torch,       ///< `data::TorchOrder`: torch.randperm bit for bit.
  keyed,       ///< `data::KeyedOrder`: any place of huge datasets without a table.
  sequential,  ///< `data::SequentialOrder`.
};
template <>
struct Choices<DataOrder> {
  static constexpr std::string_view names[] = {"torch", "keyed", "sequential"};
};

/// The data's part of the `runtime` section.
struct DataSettings {
  std::vector<std::string> data_path{};    ///< Files of prompts, one a dataset. One text: one file.
  std::vector<std::int64_t> data_ratio{};  ///< Items of each in a round; empty: one of each.
  std::vector<double> data_weights{};      ///< In place of ratios: parts of all prompts, from 0.
  bool data_shuffle = true;                ///< false: sequential, whatever `data_order`.
  bool data_rerank = false;  ///< Copies of prompts: p0 p1 p0 p1 in place of p0 p0 p1 p1.
  DataOrder data_order = DataOrder::torch;
  data::Exhausted data_exhaustion = data::Exhausted::cycle;  ///< At the end of a dataset.
  data::Seeding data_seeding = data::Seeding::per_dataset;
  std::int64_t data_seed = 0;                 ///< From 0.
  std::vector<std::string> eval_data_path{};  ///< Files of prompts for evaluation.
  std::int64_t data_loader_threads = 2;       ///< That fetch and collate; 0: the caller does.
  std::int64_t data_loader_ahead = 4;         ///< Batches that may be ready or under way; from 1.
  std::int64_t consumed_samples = 0;          ///< Where to begin, as if so many had been drawn.

  bool operator==(DataSettings const&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("data_path", self.data_path, at_least(1), "files of prompts, one a dataset");
    visit("data_ratio", self.data_ratio, between(0, largest_ratio),
          "prompts of each dataset in a round; none: one of each");
    visit("data_weights", self.data_weights, between(0.0, 1e300),
          "in place of data_ratio: each dataset's part of all prompts");
    visit("data_shuffle", self.data_shuffle, anything(), "false: datasets as they are");
    visit("data_rerank", self.data_rerank, anything(),
          "copies of prompts: the whole list again, in place of each prompt's copies together");
    visit("data_order", self.data_order, anything(), "how datasets are shuffled");
    visit(
        "data_exhaustion", self.data_exhaustion, anything(),
        "at a dataset's end: go on with the next epoch, drop what fills no episode, or retain it");
    visit("data_seeding", self.data_seeding, anything(),
          "seeds of the datasets: one each, or shared as in the Python reference");
    visit("data_seed", self.data_seed, at_least(0), "seed of the order of prompts");
    visit("eval_data_path", self.eval_data_path, at_least(1), "files of prompts for evaluation");
    visit("data_loader_threads", self.data_loader_threads, between(0, 1024),
          "threads that make batches ahead; 0: none");
    visit("data_loader_ahead", self.data_loader_ahead, between(1, 1 << 20),
          "batches that may be ready or under way");
    visit("consumed_samples", self.consumed_samples, between(0, data::largest_consumed),
          "samples that count as drawn before the run, copies of prompts counted");
  }

 private:
  static constexpr std::int64_t largest_ratio = std::int64_t{1} << 40;
};

/// What a sampler is made of, for datasets of these sizes and so many copies of each prompt
/// (`Model::num_inference_per_prompt`). Order and exhaustion are the type's: see `DataOrder`.
template <class Late = void>
[[nodiscard]] data::BasicSamplerOptions<Late> sampler_options(
    DataSettings const& settings, std::int64_t sample_per_episode, std::int64_t repeats,
    std::vector<rlhf::detail::late<std::int64_t, Late>> dataset_sizes) {
  data::BasicSamplerOptions<Late> options;
  options.dataset_sizes = std::move(dataset_sizes);
  options.ratios = settings.data_ratio;
  options.weights = settings.data_weights;
  options.samples_per_episode = sample_per_episode;
  options.repeats = repeats;
  options.shuffle = settings.data_shuffle;
  options.repeat = settings.data_rerank ? data::Repeat::whole_list : data::Repeat::adjacent;
  options.seed = static_cast<std::uint64_t>(settings.data_seed);
  options.seeding = settings.data_seeding;
  options.consumed = settings.consumed_samples;
  return options;
}

}  // namespace rlhf::inline v0::config
