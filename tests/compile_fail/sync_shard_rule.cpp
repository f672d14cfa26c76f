// expected-error: [rlhf:sync.shard_rule] the third argument of a parameter visit must be a shard
// expected-error: such as rlhf::shard::rows()
// max-errors: 1
// A parameter whose shard is a number.
#include "sync_program.hpp"

struct Source : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
#ifdef RLHF_CONTROL
    visit("weight", rlhf::view(weight, {8}), rlhf::shard::split(rlhf::Axis::tensor, 0));
#else
    visit("weight", rlhf::view(weight, {8}), 0);
#endif
  }
  float weight[8] = {};
};
using Destination = ModelOf<rlhf::Grid<>, rlhf::sync::Broadcast<>>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
