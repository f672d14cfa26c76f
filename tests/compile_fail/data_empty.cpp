// expected-error: [rlhf:data.empty] DataPolicy must be an empty final struct
// expected-error: or data::None for a module that draws no prompts
// max-errors: 1
// A data policy with state.
#include "program.hpp"

struct Draws final {
#ifdef RLHF_CONTROL
  static constexpr int drawn = 0;
#else
  int drawn = 0;
#endif
  using Order = rlhf::data::TorchOrder;
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
