// expected-error: [rlhf:module.misspelt] this model defines trainStep, which nothing calls; the
// expected-error: hook is train_step
// expected-error: allow_near_names = true
// max-errors: 1
// A train_step in another spelling; only that is reported, not that it is missing.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = std::vector<int>;
#ifdef RLHF_CONTROL
  float train_step(std::span<Batch const>, rlhf::Step) {
    return 0.5F;
  }
#else
  float trainStep(std::span<Batch const>, rlhf::Step) {
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
