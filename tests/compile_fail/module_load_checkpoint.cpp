// expected-error: [rlhf:module.load_checkpoint] load_checkpoint must be public and callable as
// expected-error: load_checkpoint(rlhf::Step)
// max-errors: 1
// A load_checkpoint of other arguments.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  void load_checkpoint(rlhf::Step) {}
#else
  void load_checkpoint() {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
