// expected-error: [rlhf:sync.frequency_range] SyncPolicy::frequency must not be negative
// expected-error: 0 means never
// max-errors: 1
// A negative frequency.
#include "program.hpp"

#ifdef RLHF_CONTROL
constexpr int frequency = 0;
#else
constexpr int frequency = -1;
#endif
struct Actor
    : rlhf::Module<rlhf::Grid<>, rlhf::sync::PointToPoint<rlhf::sync::default_bucket, frequency>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
