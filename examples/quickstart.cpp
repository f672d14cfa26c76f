#include <rlhf/rlhf.hpp>

#include <cstdio>
#include <vector>

using namespace rlhf::literals;
using Train = rlhf::Grid<rlhf::Layout{.tensor = 2, .data = 2}>;  // four ranks train,
using Serve = rlhf::Grid<rlhf::Layout{.tensor = 4}>;             // cut differently they generate
using Sync = rlhf::sync::TwoStage<64_MiB>;                       // how weights get from one to the
using Data = rlhf::data::Mixture<rlhf::data::Ratios<3, 1>>;      // other, and which prompts come

template <class Grid>
struct Policy : rlhf::Module<Grid, Sync, Data> {
  using rlhf::Module<Grid, Sync, Data>::Module;
  static constexpr int rows = 64 / Grid::layout.tensor;
  std::vector<float> weight = std::vector<float>(rows * 64);  // this rank's rows of (64, 64)

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", rlhf::view(weight, {rows, 64}), rlhf::shard::rows());
  }
};

int main() {
  rlhf::comm::run_local(4, [](rlhf::comm::Local world) {  // ranks are threads
    Policy<Train> actor(rlhf::Mesh::range(0, 4), world.rank());
    Policy<Serve> generator(rlhf::Mesh::range(0, 4), world.rank());
    actor.weight.assign(actor.weight.size(), 1.5F);  // "training"

    rlhf::sync::Link link(world, actor, generator);  // plans; all ranks compare their plans
    link.sync(rlhf::Version{1});                     // moves what each rank lacks, once
    link.verify();                                   // by fingerprints: what arrived was sent

    generator.open_data({.dataset_sizes = {3000, 1000}, .samples_per_episode = 8});
    std::vector<rlhf::data::Draw> prompts;
    generator.draw(prompts);
    if (world.rank() == 0) {
      std::printf("weight %.1f, %zu prompts, %s", generator.weight[0], prompts.size(),
                  rlhf::plan::to_string(link.plan()).c_str());
    }
  });
}
