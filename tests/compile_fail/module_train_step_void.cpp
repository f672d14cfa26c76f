// expected-error: [rlhf:module.train_step]
// expected-error: and return its metrics
// max-errors: 1
// A train_step that returns nothing.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = std::vector<int>;
#ifdef RLHF_CONTROL
  float train_step(std::span<Batch const>, rlhf::Step) {
    return 0.5F;
  }
#else
  void train_step(std::span<Batch const>, rlhf::Step) {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  std::vector<int> const batches[2] = {};
  float const loss = rlhf::hook::train_step(actor, batches);
  static_cast<void>(loss);
  return use(actor);
}
