// expected-error: [rlhf:module.setup] setup must be public
// max-errors: 1
// A setup that is private.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL

 public:
  void setup() {}
#else

 private:
  void setup() {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
