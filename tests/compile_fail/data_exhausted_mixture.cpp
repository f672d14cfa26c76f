// expected-error: [rlhf:data.exhausted]
// expected-error: drop and retain need exactly one
// max-errors: 1
// A mixture of two datasets that is to cut episodes short.
#include "program.hpp"

#ifdef RLHF_CONTROL
using Draws = rlhf::data::Mixture<rlhf::data::Ratios<3, 1>>;
#else
using Draws = rlhf::data::Mixture<rlhf::data::Ratios<3, 1>, rlhf::data::TorchOrder,
                                  rlhf::data::Exhausted::retain>;
#endif
struct Actor : rlhf::Module<rlhf::Grid<>, rlhf::sync::None, Draws> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use_with_data<Actor>();
}
