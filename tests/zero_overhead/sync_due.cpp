// Whether a sync is due: one test, of constants where the policy is one.
#include <rlhf/sync/check.hpp>
#include <rlhf/sync/policies.hpp>

#include <cstdint>

using EveryFourth = rlhf::sync::TwoStage<rlhf::sync::default_bucket, 4>;
using Always = rlhf::sync::Broadcast<>;
using Never = rlhf::sync::Broadcast<rlhf::sync::default_bucket, 0>;

extern "C" {

bool library_due(int frequency, std::int64_t episodes) {
  return rlhf::sync::due(frequency, episodes);
}
bool by_hand_due(int frequency, std::int64_t episodes) {
  return frequency != 0 && episodes % frequency == 0;
}
bool library_due_every_fourth(std::int64_t episodes) {
  return rlhf::sync::due(EveryFourth::frequency, episodes);
}
bool by_hand_due_every_fourth(std::int64_t episodes) {
  return episodes % 4 == 0;
}
bool library_due_always(std::int64_t episodes) {
  return rlhf::sync::due(Always::frequency, episodes);
}
bool by_hand_due_always(std::int64_t) {
  return true;
}
bool library_due_never(std::int64_t episodes) {
  return rlhf::sync::due(Never::frequency, episodes);
}
bool by_hand_due_never(std::int64_t) {
  return false;
}
}
