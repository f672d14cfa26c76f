// expected-error: [rlhf:runtime.memory] an Offloadable model defines template <class Visit> void
// expected-error: memory(Visit&& visit)
// max-errors: 1
// A model that can be offloaded and keeps the names of its memory to itself.
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/runtime/offload.hpp>

#include <vector>

struct Actor : rlhf::Module<rlhf::Grid<>>, rlhf::runtime::Offloadable<> {
  using Module::Module;
  std::vector<float> weight = std::vector<float>(8);
#ifndef RLHF_CONTROL
 private:
#endif
  template <class Visit>
  void memory(Visit&& visit) {
    visit(rlhf::runtime::Part::weights, "weight", weight);
  }
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  auto const report = rlhf::runtime::offload(actor);
  rlhf::runtime::onload(actor, rlhf::runtime::Part::weights);
  return static_cast<int>(report.tensors + std::ssize(rlhf::runtime::memory_rows(actor)));
}
