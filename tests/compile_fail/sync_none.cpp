// expected-error: [rlhf:sync.none] the destination's SyncPolicy is sync::None
// expected-error: give it sync::Reshard, sync::Broadcast
// max-errors: 1
// A destination that is never synced.
#include "sync_program.hpp"

#ifdef RLHF_CONTROL
using Carry = rlhf::sync::PointToPoint<>;
#else
using Carry = rlhf::sync::None;
#endif
using Source = ModelOf<rlhf::Grid<>, rlhf::sync::None>;
using Destination = ModelOf<rlhf::Grid<>, Carry>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
