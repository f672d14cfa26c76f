// expected-error: [rlhf:parallel.size] every axis of ParallelPolicy::layout must have a size of at
// expected-error: least 1
// max-errors: 1
// A layout with an axis of negative size.
#include "program.hpp"

#ifdef RLHF_CONTROL
constexpr rlhf::Layout spread{.pipeline = 2, .data = 2};
#else
constexpr rlhf::Layout spread{.pipeline = -2, .data = 2};
#endif
struct Actor : rlhf::Module<rlhf::Grid<spread, 4>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
