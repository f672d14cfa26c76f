// expected-error: [rlhf:data.mixture] DataPolicy must name either ratio(dataset) or
// max-errors: 1
// A data policy with ratios and weights.
#include "program.hpp"

struct Draws final {
#ifdef RLHF_CONTROL
  static constexpr double weight(int dataset) {
    return dataset == 0 ? 0.7 : 0.3;
  }
#else
  static constexpr double weight(int dataset) {
    return dataset == 0 ? 0.7 : 0.3;
  }
  static constexpr std::int64_t ratio(int dataset) {
    return dataset + 1;
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
