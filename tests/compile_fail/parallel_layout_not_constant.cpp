// expected-error: [rlhf:parallel.layout] ParallelPolicy must define static constexpr rlhf::Layout
// expected-error: layout
// max-errors: 1
// A parallel policy whose layout is a variable, not a constant.
#include "program.hpp"

struct Spread final {
#ifdef RLHF_CONTROL
  static constexpr rlhf::Layout layout{.tensor = 4};
#else
  inline static rlhf::Layout layout{.tensor = 4};
#endif
};
struct Actor : rlhf::Module<Spread> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
