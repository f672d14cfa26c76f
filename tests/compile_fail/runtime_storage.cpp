// expected-error: [rlhf:runtime.storage] memory(visit) names something that does not own memory
// expected-error: which can be given back and taken anew
// max-errors: 1
// A view of memory in place of its owner.
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/runtime/offload.hpp>

#include <span>
#include <vector>

struct Actor : rlhf::Module<rlhf::Grid<>>, rlhf::runtime::Offloadable<> {
  using Module::Module;
  std::vector<float> weight = std::vector<float>(8);
  template <class Visit>
  void memory(Visit&& visit) {
#ifdef RLHF_CONTROL
    visit(rlhf::runtime::Part::weights, "weight", weight);
#else
    std::span<float> view(weight);
    visit(rlhf::runtime::Part::weights, "weight", view);
#endif
  }
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  auto const report = rlhf::runtime::offload(actor);
  rlhf::runtime::onload(actor);
  return static_cast<int>(report.tensors);
}
