// expected-error: [rlhf:parallel.zero] ParallelPolicy::layout combines zero with tensor, pipeline
// expected-error: or expert
// expected-error: use fsdp instead
// max-errors: 1
// ZeRO together with tensor parallelism.
#include "program.hpp"

#ifdef RLHF_CONTROL
constexpr rlhf::Layout spread{.tensor = 2, .fsdp = 2};
#else
constexpr rlhf::Layout spread{.tensor = 2, .zero = 2};
#endif
struct Actor : rlhf::Module<rlhf::Grid<spread>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
