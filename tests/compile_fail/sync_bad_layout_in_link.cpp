// expected-error: [rlhf:parallel.size] every axis
// max-errors: 1
// A wrong layout of the source: the pair must not add a second error (or divide by zero).
#include "sync_program.hpp"

#ifdef RLHF_CONTROL
constexpr int tensor = 2;
#else
constexpr int tensor = 0;
#endif
using Source = ModelOf<On<rlhf::Layout{.tensor = tensor}>, rlhf::sync::TwoStage<>>;
using Destination = ModelOf<On<rlhf::Layout{.tensor = 4}>, rlhf::sync::TwoStage<>>;

int main() {
  return static_cast<int>(carry<Source, Destination>());
}
