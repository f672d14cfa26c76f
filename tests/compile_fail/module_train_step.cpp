// expected-error: [rlhf:module.train_step] train_step must be public, callable as
// expected-error: train_step(std::span<Batch const>, rlhf::Step)
// max-errors: 1
// A train_step of one batch instead of several.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = std::vector<int>;
#ifdef RLHF_CONTROL
  float train_step(std::span<Batch const>, rlhf::Step) {
    return 0.5F;
  }
#else
  float train_step(Batch const&, rlhf::Step) {
    return 0.5F;
  }
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  std::vector<int> const batches[2] = {};
  float const loss = rlhf::hook::train_step(actor, batches);
  static_cast<void>(loss);
  return use(actor);
}
