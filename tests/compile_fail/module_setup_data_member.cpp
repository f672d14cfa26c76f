// expected-error: [rlhf:module.setup] setup must be public and callable as setup()
// max-errors: 1
// A data member that has a hook's name.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  void validate() {}
#ifdef RLHF_CONTROL
  bool is_set_up = false;
#else
  bool setup = false;
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
