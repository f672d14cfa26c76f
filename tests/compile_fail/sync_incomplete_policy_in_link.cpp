// expected-error: [rlhf:sync.frequency] SyncPolicy must define static constexpr int frequency
// max-errors: 1
// A policy of the destination that lacks a member: the pair must not add a second error.
#include "sync_program.hpp"

struct Carry final {
#ifdef RLHF_CONTROL
  static constexpr int frequency = 1;
#else
  static constexpr int every = 1;
#endif
  static constexpr auto route = rlhf::plan::Route::broadcast;
  static constexpr auto source_choice = rlhf::plan::SourceChoice::paired;
  static constexpr rlhf::Bytes bucket_bytes{1 << 20};
};
using Source = ModelOf<rlhf::Grid<>, rlhf::sync::None>;
using Destination = ModelOf<rlhf::Grid<>, Carry>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
