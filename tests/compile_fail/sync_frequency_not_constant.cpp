// expected-error: [rlhf:sync.frequency] SyncPolicy must define static constexpr int frequency
// max-errors: 1
// A frequency that is a variable, not a constant.
#include "program.hpp"

struct Carry final {
#ifdef RLHF_CONTROL
  static constexpr int frequency = 1;
#else
  inline static int frequency = 1;
#endif
  static constexpr auto route = rlhf::plan::Route::broadcast;
  static constexpr auto source_choice = rlhf::plan::SourceChoice::paired;
  static constexpr rlhf::Bytes bucket_bytes{1 << 20};
};
struct Actor : rlhf::Module<rlhf::Grid<>, Carry> {
  using Module::Module;
  void setup() {}
};

int main() {
  return use<Actor>();
}
