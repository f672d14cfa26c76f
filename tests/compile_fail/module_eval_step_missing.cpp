// expected-error: [rlhf:module.eval_step_missing] this model is used for evaluation but defines no
// expected-error: eval_step(Batch const&)
// max-errors: 1
// A model that is asked to evaluate and cannot.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = std::vector<int>;
#ifdef RLHF_CONTROL
  int eval_step(Batch const&) {
    return 1;
  }
#else
  float train_step(std::span<Batch const>, rlhf::Step) {
    return 0.5F;
  }
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  std::vector<int> const batch;
  int const score = rlhf::hook::eval_step(actor, batch);
  static_cast<void>(score);
  return use(actor);
}
