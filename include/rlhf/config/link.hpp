/// @file
/// A section of `links`: which module feeds which with weights, and how. Layer: config.
#pragma once

#include <rlhf/config/episode_settings.hpp>
#include <rlhf/config/limits.hpp>
#include <rlhf/sync/link_options.hpp>
#include <rlhf/sync/verify.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::config {

/// The stock sync policies by name.
enum class LinkPolicy : std::uint8_t {
  reshard,
  broadcast,
  point_to_point,
  two_stage,
  experts,  ///< By `routed_expert_regrouping_comm_type`.
};
template <>
struct Choices<LinkPolicy> {
  static constexpr std::string_view names[] = {"reshard", "broadcast", "point_to_point",
                                               "two_stage", "experts"};
};
template <>
struct Choices<sync::Verification> {
  static constexpr std::string_view names[] = {"none", "fingerprint", "full"};
};
template <>
struct Choices<sync::Extent> {
  static constexpr std::string_view names[] = {"whole", "partial"};
};

/// A weight sync from one module into another.
struct Link {
  std::string source{};                        ///< A model.
  std::string destination{};                   ///< Another model.
  std::optional<LinkPolicy> policy{};          ///< null: the runtime's `param_sync_comm_type`.
  std::optional<std::int64_t> frequency{};     ///< Episodes; null: the destination's; 0: once.
  std::optional<std::int64_t> bucket_bytes{};  ///< null: the runtime's `coalesced_buffer_mb`.
  std::int64_t budget_bytes = 0;               ///< Of staging memory a rank; 0: four buckets.
  std::optional<sync::Verification> verification{};  ///< null: the runtime's `validate_param_sync`.
  std::vector<std::string> only{};                   ///< Globs of destination names; empty: all.
  sync::Extent extent = sync::Extent::whole;         ///< Whether the destination holds all.

  bool operator==(Link const&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("source", self.source, required_name(), "the model that weights come from");
    visit("destination", self.destination, required_name(), "the model that they go to");
    visit("policy", self.policy, anything(),
          "how weights travel; null: the runtime section's param_sync_comm_type");
    visit("frequency", self.frequency, between(0, largest_count),
          "episodes between syncs; 0: once, at the start; null: the destination's sync_frequency");
    visit("bucket_bytes", self.bucket_bytes, between(256, largest_bytes),
          "bytes that move together; null: the runtime section's coalesced_buffer_mb");
    visit("budget_bytes", self.budget_bytes, between(0, 4 * largest_bytes),
          "staging memory that no rank exceeds; 0: four buckets");
    visit("verification", self.verification, anything(),
          "what every sync checks; null: by the runtime section's validate_param_sync");
    visit("only", self.only, at_least(1),
          "globs of the destination's parameter names that take part; none: all");
    visit("extent", self.extent, anything(),
          "whether the destination's ranks together hold every parameter whole");
  }

 private:
  static constexpr std::int64_t largest_bytes = std::int64_t{1} << 40;
};

}  // namespace rlhf::inline v0::config
