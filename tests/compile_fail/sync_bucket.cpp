// expected-error: [rlhf:sync.bucket] SyncPolicy must define static constexpr rlhf::Bytes
// expected-error: bucket_bytes
// max-errors: 1
// A bucket size that is a plain number.
#include "program.hpp"

struct Carry final {
#ifdef RLHF_CONTROL
  static constexpr rlhf::Bytes bucket_bytes{1 << 20};
#else
  static constexpr long bucket_bytes = 1 << 20;
#endif
  static constexpr auto route = rlhf::plan::Route::broadcast;
  static constexpr auto source_choice = rlhf::plan::SourceChoice::paired;
  static constexpr int frequency = 1;
};
struct Actor : rlhf::Module<rlhf::Grid<>, Carry> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
