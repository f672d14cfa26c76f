// expected-error: [rlhf:sync.bucket_bytes] SyncPolicy::bucket_bytes
// max-errors: 1
// A wrong policy of the destination: the pair must not add a second error.
#include "sync_program.hpp"

#ifdef RLHF_CONTROL
constexpr rlhf::Bytes bucket{512};
#else
constexpr rlhf::Bytes bucket{100};
#endif
using Source = ModelOf<rlhf::Grid<>, rlhf::sync::None>;
using Destination = ModelOf<rlhf::Grid<>, rlhf::sync::Broadcast<bucket>>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
