// expected-error: [rlhf:data.order] DataPolicy::Order must name an order
// expected-error: for example data::TorchOrder
// max-errors: 1
// An order without a Permutation.
#include "program.hpp"

struct Draws final {
#ifdef RLHF_CONTROL
  using Order = rlhf::data::TorchOrder;
#else
  struct Order {};
#endif
  static constexpr int dataset_count = 2;
  static constexpr std::int64_t ratio(int dataset) {
    return dataset + 1;
  }
  static constexpr auto exhausted = rlhf::data::Exhausted::cycle;
};
struct Actor : rlhf::Module<rlhf::Grid<>, rlhf::sync::None, Draws> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use_with_data<Actor>();
}
