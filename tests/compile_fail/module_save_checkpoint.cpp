// expected-error: [rlhf:module.save_checkpoint] save_checkpoint must be public and callable as
// expected-error: save_checkpoint(rlhf::Step)
// max-errors: 1
// A save_checkpoint of other arguments.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  void save_checkpoint(rlhf::Step) {}
#else
  void save_checkpoint(char const* path) {
    static_cast<void>(path);
  }
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
