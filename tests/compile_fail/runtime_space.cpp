// expected-error: [rlhf:runtime.space] memory(visit) names device memory, but HostSpace copies from
// expected-error: the host's only: derive the model from runtime::Offloadable<cuda::Offload>
// max-errors: 1
// Device memory, and no space on the host that can copy from it.
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/runtime/offload.hpp>

#include <vector>

/// As cuda::DeviceBuffer.
struct Buffer : std::vector<std::byte> {
  using std::vector<std::byte>::vector;
#ifndef RLHF_CONTROL
  [[nodiscard]] int device() const noexcept {
    return 0;
  }
#endif
};

struct Actor : rlhf::Module<rlhf::Grid<>>, rlhf::runtime::Offloadable<> {
  using Module::Module;
  Buffer weight = Buffer(8);
  template <class Visit>
  void memory(Visit&& visit) {
    visit(rlhf::runtime::Part::weights, "weight", weight);
  }
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  auto const report = rlhf::runtime::offload(actor);
  rlhf::runtime::onload(actor);
  return static_cast<int>(report.tensors);
}
