// expected-error: [rlhf:module.misspelt] this model defines save_checkpiont, which nothing calls;
// expected-error: the hook is save_checkpoint
// max-errors: 1
// A misspelt hook that is private, too.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  void setup() {}
#ifdef RLHF_CONTROL

 public:
  void save_checkpoint(rlhf::Step) {}
#else

 private:
  void save_checkpiont(rlhf::Step) {}
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
