// expected-error: [rlhf:data.weight] DataPolicy::weight(dataset) must be a constant double
// max-errors: 1
// A weight of one prompt in ten million.
#include "program.hpp"

struct Draws final {
#ifdef RLHF_CONTROL
  static constexpr double weight(int dataset) {
    return dataset == 0 ? 1 : 1e-5;
  }
#else
  static constexpr double weight(int dataset) {
    return dataset == 0 ? 1 : 1e-7;
  }
#endif
  using Order = rlhf::data::KeyedOrder;
  static constexpr int dataset_count = 2;
  static constexpr auto exhausted = rlhf::data::Exhausted::cycle;
};
struct Actor : rlhf::Module<rlhf::Grid<>, rlhf::sync::None, Draws> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use_with_data<Actor>();
}
