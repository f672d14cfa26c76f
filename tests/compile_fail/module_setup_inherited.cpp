// expected-error: [rlhf:module.setup] setup must be public and callable as setup()
// max-errors: 1
// An inherited setup of other arguments.
#include "program.hpp"

struct Common {
  void setup(int) {}
};
struct Actor : rlhf::Module<rlhf::Grid<>>, Common {
  using Module::Module;
#ifdef RLHF_CONTROL
  void setup() {}
#else
  void validate() {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
