// expected-error: [rlhf:data.exhausted] DataPolicy::exhausted must be a constant of type
// expected-error: data::Exhausted
// max-errors: 1
// A data policy that does not say what happens at the end of an epoch.
#include "program.hpp"

struct Draws final {
#ifdef RLHF_CONTROL
  static constexpr auto exhausted = rlhf::data::Exhausted::cycle;
#else
  static constexpr int exhausted = 0;
#endif
  using Order = rlhf::data::TorchOrder;
  static constexpr int dataset_count = 2;
  static constexpr std::int64_t ratio(int dataset) {
    return dataset + 1;
  }
};
struct Actor : rlhf::Module<rlhf::Grid<>, rlhf::sync::None, Draws> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use_with_data<Actor>();
}
