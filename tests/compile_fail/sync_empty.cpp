// expected-error: [rlhf:sync.empty] SyncPolicy must be an empty class
// max-errors: 1
// A sync policy with state.
#include "program.hpp"

struct Carry final {
#ifdef RLHF_CONTROL
  static constexpr int syncs_done = 0;
#else
  int syncs_done = 0;
#endif
  static constexpr auto route = rlhf::plan::Route::broadcast;
  static constexpr auto source_choice = rlhf::plan::SourceChoice::paired;
  static constexpr rlhf::Bytes bucket_bytes{1 << 20};
  static constexpr int frequency = 1;
};
struct Actor : rlhf::Module<rlhf::Grid<>, Carry> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
