// expected-error: [rlhf:sync.endpoint] source and destination of a sync must derive from
// expected-error: rlhf::Module
// max-errors: 1
// A source that is no module.
#include "sync_program.hpp"

#ifdef RLHF_CONTROL
struct Source : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", rlhf::view(weight, {8}), rlhf::shard::rows());
  }
  float weight[8] = {};
};
#else
struct Source {
  Source(rlhf::Mesh const&, int) {}
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", rlhf::view(weight, {8}), rlhf::shard::rows());
  }
  float weight[8] = {};
};
#endif
using Destination = ModelOf<rlhf::Grid<>, rlhf::sync::Broadcast<>>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
