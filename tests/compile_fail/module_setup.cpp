// expected-error: [rlhf:module.setup] setup must be public and callable as setup()
// max-errors: 1
// A setup of other arguments.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  void setup(int threads = 1) {
    static_cast<void>(threads);
  }
#else
  void setup(int threads) {
    static_cast<void>(threads);
  }
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
