// expected-error: [rlhf:data.ratio] DataPolicy::ratio(dataset) must be a constant
// max-errors: 1
// A data policy without ratios.
#include "program.hpp"

struct Draws final {
#ifdef RLHF_CONTROL
  static constexpr std::int64_t ratio(int dataset) {
    return dataset + 1;
  }
#else
  static constexpr std::int64_t ratios(int dataset) {
    return dataset + 1;
  }
#endif
  using Order = rlhf::data::TorchOrder;
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
