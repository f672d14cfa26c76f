// expected-error: [rlhf:sync.bucket_bytes] SyncPolicy::bucket_bytes must be a positive multiple of
// expected-error: 256 bytes
// expected-error: for example 64_MiB
// max-errors: 1
// Buckets of a size that no transfer is aligned to.
#include "program.hpp"

using namespace rlhf::literals;
#ifdef RLHF_CONTROL
constexpr rlhf::Bytes bucket = 1024_B;
#else
constexpr rlhf::Bytes bucket = 1000_B;
#endif
struct Actor : rlhf::Module<rlhf::Grid<>, rlhf::sync::TwoStage<bucket>> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
