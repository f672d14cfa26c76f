// expected-error: [rlhf:sync.two_stage_pipeline] sync::TwoStage needs a source pipeline size that
// expected-error: is a multiple of the destination pipeline size
// expected-error: use sync::PointToPoint or sync::Broadcast for this pair
// max-errors: 1
// Two stages from one pipeline stage to two.
#include "sync_program.hpp"

#ifdef RLHF_CONTROL
using Carry = rlhf::sync::Broadcast<>;
#else
using Carry = rlhf::sync::TwoStage<>;
#endif
using Source = ModelOf<On<rlhf::Layout{.tensor = 2}>, Carry>;
using Destination = ModelOf<On<rlhf::Layout{.tensor = 2, .pipeline = 2}>, Carry>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
