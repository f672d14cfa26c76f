// expected-error: [rlhf:sync.bucket_bytes] SyncPolicy::bucket_bytes must be a positive multiple of
// expected-error: 256 bytes
// max-errors: 1
// Buckets of no bytes.
#include "program.hpp"

#ifdef RLHF_CONTROL
constexpr rlhf::Bytes bucket{256};
#else
constexpr rlhf::Bytes bucket{0};
#endif
struct Actor : rlhf::Module<rlhf::Grid<>, rlhf::sync::Broadcast<bucket>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
