// expected-error: [rlhf:module.batch] a model with forward_step, train_step or eval_step must name
// expected-error: its batch type
// expected-error: using Batch = ...
// max-errors: 1
// A model that trains on batches of a type it does not name.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  using Batch = std::vector<int>;
#else
  using batch = std::vector<int>;
#endif
  float train_step(std::span<std::vector<int> const>, rlhf::Step) {
    return 0.5F;
  }
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  std::vector<int> const batches[2] = {};
  float const loss = rlhf::hook::train_step(actor, batches);
  static_cast<void>(loss);
  return use(actor);
}
