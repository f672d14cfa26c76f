// expected-error: [rlhf:module.validate] validate must be public and callable as validate()
// max-errors: 1
// A validate of other arguments.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  void validate() {}
#else
  void validate(bool) {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
