// expected-error: [rlhf:module.forward_step] forward_step must be public and callable as
// expected-error: forward_step(Batch const&, rlhf::Step)
// max-errors: 1
// A forward_step that changes its batch.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = std::vector<int>;
#ifdef RLHF_CONTROL
  int forward_step(Batch const&, rlhf::Step) {
    return 1;
  }
#else
  int forward_step(Batch&, rlhf::Step) {
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
