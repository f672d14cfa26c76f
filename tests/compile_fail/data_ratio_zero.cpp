// expected-error: [rlhf:data.ratio] DataPolicy::ratio(dataset) must be a constant that is not
// expected-error: negative
// max-errors: 1
// Ratios that are all zero.
#include "program.hpp"

#ifdef RLHF_CONTROL
using Ratios = rlhf::data::Ratios<0, 1>;
#else
using Ratios = rlhf::data::Ratios<0, 0>;
#endif
struct Actor : rlhf::Module<rlhf::Grid<>, rlhf::sync::None, rlhf::data::Mixture<Ratios>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use_with_data<Actor>();
}
