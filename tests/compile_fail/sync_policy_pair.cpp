// expected-error: [rlhf:sync.policy_pair] source and destination name different sync policies
// expected-error: or the source sync::None
// max-errors: 1
// Source and destination that name different policies.
#include "sync_program.hpp"

#ifdef RLHF_CONTROL
using Sends = rlhf::sync::PointToPoint<>;
#else
using Sends = rlhf::sync::Broadcast<>;
#endif
using Source = ModelOf<rlhf::Grid<>, Sends>;
using Destination = ModelOf<rlhf::Grid<>, rlhf::sync::PointToPoint<>>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
