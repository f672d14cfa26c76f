// expected-error: [rlhf:module.forward_step_missing] this model is used for inference but defines
// expected-error: no forward_step(Batch const&, rlhf::Step)
// max-errors: 1
// A model that is asked for inference and has none.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = std::vector<int>;
#ifdef RLHF_CONTROL
  int forward_step(Batch const&, rlhf::Step) {
    return 1;
  }
#else
  int eval_step(Batch const&) {
    return 1;
  }
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  std::vector<int> const batch;
  int const answer = rlhf::hook::forward_step(actor, batch);
  static_cast<void>(answer);
  return use(actor);
}
