// expected-error: [rlhf:runtime.adapters] an Adapted model defines template <class Visit> void
// expected-error: adapters(Visit&& visit)
// max-errors: 1
// A model that keeps the state of adapters and does not name them.
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/runtime/lora.hpp>

#include <vector>

struct Actor : rlhf::Module<rlhf::Grid<>>, rlhf::runtime::Adapted<> {
  using Module::Module;
  std::vector<float> weight = std::vector<float>(8);
#ifdef RLHF_CONTROL
  template <class Visit>
  void adapters(Visit&& visit) {
    visit("weight", rlhf::view(weight, {2, 4}),
          rlhf::Adapter{.a = rlhf::view(weight.data(), {1, 4}),
                        .b = rlhf::view(weight.data(), {2, 1})});
  }
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  bool const fused = rlhf::runtime::fuse_lora(actor);
  rlhf::runtime::with_fused_lora(actor, [] {});
  return rlhf::runtime::unfuse_lora(actor) == fused ? 0 : 1;
}
