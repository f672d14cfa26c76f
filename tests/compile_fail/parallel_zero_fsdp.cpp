// expected-error: [rlhf:parallel.zero_fsdp] ParallelPolicy::layout sets both zero and fsdp
// expected-error: set one of them to 1
// max-errors: 1
// ZeRO and FSDP at once.
#include "program.hpp"

#ifdef RLHF_CONTROL
constexpr rlhf::Layout spread{.fsdp = 4};
#else
constexpr rlhf::Layout spread{.fsdp = 2, .zero = 2};
#endif
struct Actor : rlhf::Module<rlhf::Grid<spread>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
