// expected-error: [rlhf:data.ratio] DataPolicy::ratio(dataset) must be a constant that is not
// expected-error: negative
// max-errors: 1
// A mixture of something else than ratios.
#include "program.hpp"

#ifdef RLHF_CONTROL
using Ratios = rlhf::data::Ratios<3, 1>;
#else
using Ratios = rlhf::data::Ratios<>;
#endif
struct Actor : rlhf::Module<rlhf::Grid<>, rlhf::sync::None, rlhf::data::Mixture<Ratios>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use_with_data<Actor>();
}
