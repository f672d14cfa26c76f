// expected-error: [rlhf:parallel.divides]
// expected-error: must divide ParallelPolicy::ranks; change a size or the number of ranks
// max-errors: 1
// A replica of eight ranks on four ranks.
#include "program.hpp"

#ifdef RLHF_CONTROL
constexpr int pipeline = 2;
#else
constexpr int pipeline = 4;
#endif
constexpr rlhf::Layout spread{.tensor = 2, .pipeline = pipeline};
struct Actor : rlhf::Module<rlhf::Grid<spread, 4>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
