// expected-error: [rlhf:module.before_episode] before_episode must be public and callable as
// expected-error: before_episode(rlhf::Episode)
// max-errors: 1
// A before_episode of other arguments.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  void before_episode(rlhf::Episode) {}
#else
  void before_episode() {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
