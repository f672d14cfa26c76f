// expected-error: [rlhf:parallel.ranks] the sizes of ParallelPolicy::layout multiply to another
// expected-error: number
// expected-error: set it to rlhf::Layout::any
// max-errors: 1
// Two copies of two tensor ranks on eight ranks.
#include "program.hpp"

#ifdef RLHF_CONTROL
constexpr int ranks = 4;
#else
constexpr int ranks = 8;
#endif
constexpr rlhf::Layout spread{.tensor = 2, .data = 2};
struct Actor : rlhf::Module<rlhf::Grid<spread, ranks>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
