// expected-error: [rlhf:parallel.empty] ParallelPolicy must be an empty class
// max-errors: 1
// A parallel policy with state.
#include "program.hpp"

struct Spread final {
  static constexpr rlhf::Layout layout{.tensor = 4};
#ifdef RLHF_CONTROL
  static constexpr int ranks_in_use = 4;
#else
  int ranks_in_use = 4;
#endif
};
struct Actor : rlhf::Module<Spread> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
