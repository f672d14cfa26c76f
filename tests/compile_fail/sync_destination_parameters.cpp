// expected-error: [rlhf:sync.destination_parameters] the destination of a sync must define template
// expected-error: <class Visit> void parameters(Visit&& visit)
// max-errors: 1
// A destination whose list of parameters takes no visitor.
#include "sync_program.hpp"

struct Destination : rlhf::Module<rlhf::Grid<>, rlhf::sync::Broadcast<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", rlhf::view(weight, {8}), rlhf::shard::rows());
  }
  float weight[8] = {};
#else
  void parameters() {}
#endif
};
using Source = ModelOf<rlhf::Grid<>, rlhf::sync::None>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
