/// @file
/// PPO on prompts with a learned reward: a policy that trains on tensor=2 data=2 ranks, a generator
/// of the same weights on tensor=4, a reference, a reward model and a critic on data=4. Ranks are
/// threads; in rlhf_ppo_cuda, built from the same source where CUDA and NCCL are, GPUs.
///
/// Read in this order: values.hpp (what goes from stage to stage), policy.hpp and scorers.hpp (the
/// modules), experience.hpp (rewards and advantages), program.hpp (the engine). The transformer and
/// its optimizer are those of examples/grpo.
#include <rlhf/core/error.hpp>
#include <rlhf/runtime/append_file.hpp>

#include <cstdio>
#include <exception>
#include <vector>

#include <fmt/format.h>

#include "options.hpp"
#include "program.hpp"

#if RLHF_EXAMPLE_NCCL
#  include <rlhf/nccl/world.hpp>
#else
#  include <rlhf/comm/local_world.hpp>
#endif

namespace {

/// Generation ahead and warm-ups make ranks wait for each other for a while.
constexpr rlhf::Milliseconds timeout{600'000};

/// One rank of `world`, whatever its type.
template <class Comm>
void run_rank(Comm& world, ppo::Options const& options, std::vector<ppo::PromptSet> const& sets,
              ppo::Outcome& outcome) {
  ppo::Outcome const mine = ppo::Program<Comm>(world, options, sets).run();
  if (world.rank() == 0) {
    outcome = mine;
  }
}

ppo::Outcome run(ppo::Options const& options, std::vector<ppo::PromptSet> const& sets) {
  int const ranks = ppo::Places(options).ranks;
  ppo::Outcome outcome;
#if RLHF_EXAMPLE_NCCL  // a rank a GPU
  rlhf::nccl::run([&](rlhf::nccl::Communicator world) { run_rank(world, options, sets, outcome); },
                  {.communicator = {.timeout = timeout}, .ranks = ranks});
#else  // a rank a thread
  rlhf::comm::run_local(ranks,
                        [&](rlhf::comm::Local world) { run_rank(world, options, sets, outcome); },
                        {.timeout = timeout});
#endif
  return outcome;
}

}  // namespace

int main(int argc, char** argv) {
  ppo::Options const options = ppo::parse_options(argc, argv);
  try {
    rlhf::runtime::make_directories(options.out);
    ppo::Outcome const outcome = run(options, grpo::read_all_prompts(options.data));
    fmt::print("held-out accuracy {:.1f} % after warm-up, {:.1f} % after {} episodes; see {}/\n",
               100 * outcome.before, 100 * outcome.after, options.episodes, options.out);
    double const gain = options.short_run ? 0.25 : 0.45;
    if (options.check && outcome.after < outcome.before + gain) {
      fmt::print(stderr, "rlhf_ppo: accuracy rose by less than {:.0f} points\n", 100 * gain);
      return 1;
    }
    return 0;
  } catch (std::exception const& error) {
    fmt::print(stderr, "rlhf_ppo: {}\n", error.what());
    return 1;
  }
}
