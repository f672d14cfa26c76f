// expected-error: [rlhf:module.after_episode] after_episode must be public and callable as
// expected-error: after_episode(rlhf::Episode)
// max-errors: 1
// A after_episode of other arguments.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  void after_episode(rlhf::Episode) {}
#else
  void after_episode(rlhf::Step) {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
