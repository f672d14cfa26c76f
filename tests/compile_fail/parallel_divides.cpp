// expected-error: [rlhf:parallel.divides]
// expected-error: must divide ParallelPolicy::ranks; change a size or the number of ranks
// max-errors: 1
// Three tensor ranks on four ranks.
#include "program.hpp"

#ifdef RLHF_CONTROL
constexpr int tensor = 2;
#else
constexpr int tensor = 3;
#endif
constexpr rlhf::Layout spread{.tensor = tensor, .data = rlhf::Layout::any};
struct Actor : rlhf::Module<rlhf::Grid<spread, 4>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
