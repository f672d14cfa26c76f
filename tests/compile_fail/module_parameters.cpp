// expected-error: [rlhf:module.parameters] parameters must be public and callable as
// expected-error: parameters(visit)
// expected-error: visit takes (std::string_view name, rlhf::TensorView, shard)
// max-errors: 1
// A list of parameters that takes no visitor.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
#ifdef RLHF_CONTROL
  template <class Visit>
  void parameters(Visit&&) {}
#else
  std::vector<float> parameters() {
    return {};
  }
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  return use(actor);
}
