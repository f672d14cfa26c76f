// expected-error: [rlhf:parallel.layout] ParallelPolicy must define static constexpr rlhf::Layout
// expected-error: layout
// expected-error: layout_at_run_time = true
// max-errors: 1
// A parallel policy whose member is misspelt.
#include "program.hpp"

struct Spread final {
#ifdef RLHF_CONTROL
  static constexpr rlhf::Layout layout{.tensor = 4};
#else
  static constexpr rlhf::Layout lay_out{.tensor = 4};
#endif
};
struct Actor : rlhf::Module<Spread> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
