/// @file
/// GRPO on prompts with verifiable answers: an actor that trains on tensor=2 data=2 ranks, a
/// generator of the same weights on tensor=4, a frozen reference. Ranks are threads.
///
/// Read in this order: actor.hpp (a model and its policies), generator.hpp, train.hpp (the loop).
/// transformer.hpp, adamw.hpp and so on are what a trainer author brings along.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/parallel/grid.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "options.hpp"
#include "prompts.hpp"
#include "train.hpp"

namespace {

using rlhf::Grid;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::comm::Local;

/// The layouts and the mixture of a run without options: constants in the models' types.
using Train = Grid<Layout{.tensor = 2, .data = 2}>;
using Serve = Grid<Layout{.tensor = 4}>;
using Data = rlhf::data::Mixture<rlhf::data::Ratios<1, 1>>;

/// Runs one thread a rank. `layouts` are given where they are known only now.
template <class TrainGrid, class ServeGrid, class DataPolicy>
grpo::Outcome run(grpo::Options const& options, std::vector<grpo::PromptSet> const& sets,
                  Layout train, Layout serve, auto... layouts) {
  Mesh const train_mesh = Mesh::range(0, train.ranks());
  Mesh const serve_mesh = Mesh::range(options.separate ? train.ranks() : 0, serve.ranks());
  int const ranks =
      options.separate ? train.ranks() + serve.ranks() : std::max(train.ranks(), serve.ranks());
  grpo::Outcome outcome;
  rlhf::comm::run_local(ranks,
                        [&](Local world) {
                          grpo::Trainer<Local, TrainGrid, ServeGrid, DataPolicy> trainer(
                              world, options, sets, train_mesh, serve_mesh, layouts...);
                          grpo::Outcome const mine = trainer.run();
                          if (world.rank() == 0) {
                            outcome = mine;
                          }
                        },
                        {.timeout = rlhf::Milliseconds{120'000}});
  return outcome;
}

grpo::Outcome run(grpo::Options const& options, std::vector<grpo::PromptSet> const& sets) {
  bool const as_compiled = !options.actor && !options.generator && sets.size() == 2 &&
                           sets[0].ratio == 1 && sets[1].ratio == 1;
  Layout const train = options.actor.value_or(Train::layout);
  Layout const serve = options.generator.value_or(Serve::layout);
  if (as_compiled) {
    return run<Train, Serve, Data>(options, sets, train, serve);
  }
  using rlhf::RuntimeGrid;
  return run<RuntimeGrid, RuntimeGrid, rlhf::data::RuntimeMixture<>>(options, sets, train, serve,
                                                                     train, serve);
}

}  // namespace

int main(int argc, char** argv) {
  grpo::Options const options = grpo::parse_options(argc, argv);
  try {
    grpo::Outcome const outcome = run(options, grpo::read_all_prompts(options.data));
    fmt::print("held-out accuracy {:.1f} % after warm-up, {:.1f} % after {} episodes; see {}/\n",
               100 * outcome.before, 100 * outcome.after, options.episodes, options.out);
    double const gain = options.short_run ? 0.25 : 0.45;
    if (options.check && outcome.after < outcome.before + gain) {
      fmt::print(stderr, "rlhf_grpo: accuracy rose by less than {:.0f} points\n", 100 * gain);
      return 1;
    }
    return 0;
  } catch (std::exception const& error) {
    fmt::print(stderr, "rlhf_grpo: {}\n", error.what());
    return 1;
  }
}
