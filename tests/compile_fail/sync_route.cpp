// expected-error: [rlhf:sync.route] SyncPolicy must define static constexpr plan::Route route
// expected-error: plan::SourceChoice source_choice
// max-errors: 1
// A sync policy without a choice of sources.
#include "program.hpp"

struct Carry final {
#ifdef RLHF_CONTROL
  static constexpr auto source_choice = rlhf::plan::SourceChoice::paired;
#else
  static constexpr auto choice = rlhf::plan::SourceChoice::paired;
#endif
  static constexpr auto route = rlhf::plan::Route::broadcast;
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
