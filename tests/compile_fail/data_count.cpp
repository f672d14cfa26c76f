// expected-error: [rlhf:data.count] DataPolicy::dataset_count must be a constant int
// max-errors: 1
// A data policy without the number of its datasets.
#include "program.hpp"

struct Draws final {
#ifdef RLHF_CONTROL
  static constexpr int dataset_count = 2;
#else
  static constexpr int datasets = 2;
#endif
  using Order = rlhf::data::TorchOrder;
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
