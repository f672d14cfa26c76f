// expected-error: [rlhf:module.no_hooks] this model defines neither a hook nor parameters
// expected-error: see the table in module/hooks.hpp
// max-errors: 1
// A model without a hook.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  void setup() {}
#else
  void something_else() {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
