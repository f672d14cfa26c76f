// expected-error: [rlhf:module.eval_step] eval_step must be public and callable as eval_step(Batch
// expected-error: const&)
// max-errors: 1
// An eval_step that wants a step.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = std::vector<int>;
#ifdef RLHF_CONTROL
  int eval_step(Batch const&) {
    return 1;
  }
#else
  int eval_step(Batch const&, rlhf::Step) {
    return 1;
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
