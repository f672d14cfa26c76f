// expected-error: [rlhf:module.misspelt] this model defines after_epsiode, which nothing calls; the
// expected-error: hook is after_episode
// max-errors: 1
// An optional hook with two letters swapped, which would silently never be called.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  void setup() {}
#ifdef RLHF_CONTROL
  void after_episode(rlhf::Episode) {}
#else
  void after_epsiode(rlhf::Episode) {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
