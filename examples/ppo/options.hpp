/// @file
/// What the program can be told on the command line.
#pragma once

#include <rlhf/parallel/layout.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "../grpo/options.hpp"

namespace ppo {

using grpo::DataFile;

/// Settings of a run. The defaults learn in a few minutes on two cores.
struct Options {
  std::string config{};            ///< A file of settings; empty: none.
  std::vector<std::string> set{};  ///< Settings `a.b=c` over those of the file.
  std::vector<DataFile> data{};    ///< Empty: the files of examples/grpo.
  rlhf::Layout policy{.tensor = 2, .data = 2};
  rlhf::Layout generator{.tensor = 4};
  rlhf::Layout scorers{.data = 4};  ///< Reference, reward model and critic.
  bool separate = false;            ///< The generator on ranks of its own.
  int ahead = -1;                   ///< Episodes generated ahead; -1: 1 if separate, else 0.
  std::int64_t episodes = 60;
  std::int64_t warm_up_steps = 350;
  std::int64_t reward_steps = 600;
  float slips = 0.7F;          ///< Part of the warm-up's demonstrations that are off by one.
  std::int64_t prompts = 512;  ///< Prompts an episode, each with one answer.
  std::int64_t epochs = 2;     ///< Passes over an episode's answers.
  std::int64_t batch = 256;    ///< Answers of an optimizer step, over all ranks.
  std::int64_t micro_batch = 64;
  std::int64_t evaluate_every = 5;
  std::int64_t save_every = 5;
  float learning_rate = 2.5e-4F;
  float critic_learning_rate = 1e-3F;
  float kl = 0.05F;
  float clip = 0.2F;
  float gamma = 1.0F;
  float lambda = 0.95F;
  std::uint64_t seed = 1;
  std::string out = "ppo-out";
  bool resume = false;
  bool check = false;  ///< Fail unless the policy improved.
  bool short_run = false;

  [[nodiscard]] int episodes_ahead() const noexcept {
    return ahead >= 0 ? ahead : separate ? 1 : 0;
  }
};

/// Settings from a configuration file (run.json), with `a.b=c` of `set` over them.
///
/// Errors: those of `adapters::read_config_file`; invalid_argument for layouts that do not fit.
void configure(Options& options, std::string const& file, std::vector<std::string> const& set);

/// What a run's curve depends on besides its data, in one line. A resumed run must have the same;
/// only the number of episodes may change.
[[nodiscard]] std::string settings_text(Options const& options);

/// Reads the command line. Prints help or what is wrong with it and ends the program (status 0, 2).
[[nodiscard]] Options parse_options(int argc, char** argv);

}  // namespace ppo
