/// @file
/// What the program can be told on the command line.
#pragma once

#include <rlhf/parallel/layout.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace grpo {

/// A file of prompts and how many of its prompts a round of the mixture takes.
struct DataFile {
  std::string path;
  std::int64_t ratio = 1;
};

/// Settings of a run. The defaults learn in about two minutes on two cores.
struct Options {
  std::vector<DataFile> data;             ///< Empty: the two files beside this program.
  std::optional<rlhf::Layout> actor;      ///< Empty: tensor=2,data=2, known to the compiler.
  std::optional<rlhf::Layout> generator;  ///< Empty: tensor=4, known to the compiler.
  bool separate = false;  ///< The generator on ranks of its own instead of the actor's.
  int ahead = 0;          ///< Episodes generated beside training; needs `separate`.
  std::int64_t episodes = 120;
  std::int64_t warm_up_steps = 350;
  float slips = 0.7F;              ///< Part of the warm-up's demonstrations that are off by one.
  std::int64_t prompts = 64;       ///< Prompts an episode, over all replicas.
  std::int64_t samples = 16;       ///< Answers a prompt.
  std::int64_t updates = 2;        ///< Optimizer steps an episode, each on other prompts.
  std::int64_t micro_batches = 2;  ///< Of each update, on each rank.
  std::int64_t evaluate_every = 10;
  float learning_rate = 4e-4F;
  float kl_coefficient = 0.002F;
  std::uint64_t seed = 1;
  std::string out = "grpo-out";
  bool resume = false;
  bool check = false;  ///< Fail unless the policy improved.
  bool short_run = false;
};

/// What a run's curve depends on besides seed, layouts and data, in one line. A resumed run must
/// have the same; only the number of episodes may change.
[[nodiscard]] std::string settings_text(Options const& options);

/// Reads the command line. Prints help or what is wrong with it and ends the program (status 0, 2).
[[nodiscard]] Options parse_options(int argc, char** argv);

}  // namespace grpo
