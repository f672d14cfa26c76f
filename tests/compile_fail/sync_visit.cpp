// expected-error: [rlhf:sync.visit] a parameter visit takes (std::string_view name,
// expected-error: rlhf::TensorView, shard)
// max-errors: 1
// A parameter without a shard.
#include "sync_program.hpp"

struct Source : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
#ifdef RLHF_CONTROL
    visit("weight", rlhf::view(weight, {8}), rlhf::shard::replicated());
#else
    visit("weight", rlhf::view(weight, {8}));
#endif
  }
  float weight[8] = {};
};
using Destination = ModelOf<rlhf::Grid<>, rlhf::sync::Broadcast<>>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
