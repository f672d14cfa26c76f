// expected-error: [rlhf:module.base] a model must derive from rlhf::Module<ParallelPolicy,
// expected-error: SyncPolicy, DataPolicy>
// max-errors: 1
// A model that derives from nothing.
#include "program.hpp"

#ifdef RLHF_CONTROL
struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = int;
  Actor() : Module(rlhf::Mesh::range(0, 1), 0) {}
#else
struct Actor {
  using Batch = int;

#endif
  void setup() {}
  int train_step(std::span<int const>, rlhf::Step) {
    return 0;
  }
};

int main() {
  Actor actor;
  rlhf::hook::setup(actor);
  rlhf::hook::after_episode(actor);
  int const batches[1] = {};
  return rlhf::hook::train_step(actor, batches);
}
