// A program of someone who uses the library: the same source for every way to obtain it. A trainer
// on two ranks trains, and its weights go to a generator on four others; the ranks are threads of
// this process.
#include <rlhf/rlhf.hpp>

#include <cstdio>
#include <span>
#include <vector>

namespace {

using Train = rlhf::Grid<rlhf::Layout{.tensor = 2}, 2>;
using Serve = rlhf::Grid<rlhf::Layout{.tensor = 2, .data = 2}, 4>;
using Carry = rlhf::sync::Broadcast<>;
using Prompts = rlhf::data::Mixture<rlhf::data::Ratios<3, 1>>;

/// A table of 4 x 2 numbers, cut by rows over two tensor ranks.
template <class Parallel, class Data>
struct Table : rlhf::Module<Parallel, Carry, Data> {
  using rlhf::Module<Parallel, Carry, Data>::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("table", rlhf::view(rows, {2, 2}), rlhf::shard::rows());
  }
  float rows[4] = {};
};

struct Trainer : Table<Train, rlhf::data::None> {
  using Table::Table;
  using Batch = float;
  float train_step(std::span<float const> batches, rlhf::Step step) {
    for (float& row : rows) {
      row += batches[0] + static_cast<float>(step.value + rank());
    }
    return rows[0];
  }
};
struct Generator : Table<Serve, Prompts> {
  using Table::Table;
  float forward_step(float const& prompt, rlhf::Step) { return prompt * rows[0]; }
  using Batch = float;
};

void run(rlhf::comm::Local world) {
  Trainer trainer(rlhf::Mesh::range(0, 2), world.rank());
  Generator generator(rlhf::Mesh::range(2, 4), world.rank());
  generator.open_data({.dataset_sizes = {8, 8}, .samples_per_episode = 4});
  rlhf::sync::Link link(world, trainer, generator);
  std::vector<rlhf::data::Draw> prompts;
  float expected[2] = {};
  for (int episode = 0; episode < 3; ++episode) {
    float const batch = 0.5F;
    for (float& value : expected) {
      value += batch + static_cast<float>(episode + (&value - expected));
    }
    if (trainer.present()) {
      rlhf::hook::before_episode(trainer);
      rlhf::hook::train_step(trainer, std::span(&batch, 1));
      rlhf::hook::after_episode(trainer);
    }
    link.sync(rlhf::Version{episode + 1});
    link.verify();
    if (generator.present()) {
      generator.draw(prompts);
      rlhf::expects(prompts.size() == 2, "two replicas share four prompts");
      rlhf::expects(
          rlhf::hook::forward_step(generator, 2.0F) == 2 * expected[generator.coordinate().tensor],
          "the generator must hold the trainer's weights");
    }
  }
  if (world.rank() == 5) {
    std::printf("%s\n", rlhf::describe(generator).c_str());
  }
}

}  // namespace

int main() {
  std::printf("rlhf %s\n", rlhf::version_text);
  try {
    rlhf::comm::run_local(6, run);
  } catch (rlhf::Error const& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
  return 0;
}
