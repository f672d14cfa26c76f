// expected-error: [rlhf:module.build_dataset] build_dataset must be public
// expected-error: return a dataset with size() and operator[]
// max-errors: 1
// A build_dataset that returns no dataset.
#include "program.hpp"

struct Actor : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  struct Prompts {
    std::int64_t size() const { return 0; }
    int operator[](std::int64_t) const { return 0; }
  };
#ifdef RLHF_CONTROL
  Prompts build_dataset(std::span<std::string const>, rlhf::Purpose) {
    return {};
  }
#else
  int build_dataset(std::span<std::string const>, rlhf::Purpose) {
    return 0;
  }
#endif
};

int main() {
  Actor actor(rlhf::Mesh::range(0, 1), 0);
  std::vector<std::string> const prompts;
  auto const dataset = rlhf::hook::build_dataset(actor, prompts, rlhf::Purpose::training);
  static_cast<void>(dataset);
  return use(actor);
}
