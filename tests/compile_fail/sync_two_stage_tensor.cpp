// expected-error: [rlhf:sync.two_stage_tensor] sync::TwoStage needs a destination tensor size that
// expected-error: is a multiple of the source tensor size
// expected-error: use sync::PointToPoint or sync::Broadcast for this pair
// max-errors: 1
// Two stages from four tensor ranks to two.
#include "sync_program.hpp"

#ifdef RLHF_CONTROL
using Carry = rlhf::sync::PointToPoint<>;
#else
using Carry = rlhf::sync::TwoStage<>;
#endif
using Source = ModelOf<On<rlhf::Layout{.tensor = 4}>, Carry>;
using Destination = ModelOf<On<rlhf::Layout{.tensor = 2, .data = 2}>, Carry>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
