// expected-error: [rlhf:sync.source_parameters] the source of a sync must define template <class
// expected-error: Visit> void parameters(Visit&& visit)
// max-errors: 1
// A source that does not list its parameters.
#include "sync_program.hpp"

struct Source : rlhf::Module<rlhf::Grid<>, rlhf::sync::None> {
  using Module::Module;
#ifdef RLHF_CONTROL
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", rlhf::view(weight, {8}), rlhf::shard::rows());
  }
  float weight[8] = {};
#else
  void setup() {}
#endif
};
using Destination = ModelOf<rlhf::Grid<>, rlhf::sync::Broadcast<>>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
