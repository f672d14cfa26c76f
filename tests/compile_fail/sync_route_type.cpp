// expected-error: [rlhf:sync.route] SyncPolicy must define static constexpr plan::Route route
// max-errors: 1
// A route that is not a plan::Route.
#include "program.hpp"

struct Carry final {
#ifdef RLHF_CONTROL
  static constexpr auto route = rlhf::plan::Route::broadcast;
#else
  static constexpr int route = 1;
#endif
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
