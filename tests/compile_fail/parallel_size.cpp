// expected-error: [rlhf:parallel.size] every axis of ParallelPolicy::layout must have a size of at
// expected-error: least 1
// max-errors: 1
// A layout with an axis of size 0.
#include "program.hpp"

#ifdef RLHF_CONTROL
constexpr rlhf::Layout spread{.tensor = 4};
#else
constexpr rlhf::Layout spread{.tensor = 0};
#endif
struct Actor : rlhf::Module<rlhf::Grid<spread>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
