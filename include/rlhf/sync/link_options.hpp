/// @file
/// What a link needs beyond its policy, and what it reports. Layer: sync.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/plan/names.hpp>
#include <rlhf/plan/topology.hpp>
#include <rlhf/sync/verify.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::sync {

/// What the last sync of a rank did.
struct SyncReport {
  double seconds = 0;         ///< Wall time on this rank: the sum of the three that follow.
  double move_seconds = 0;    ///< From `start` until the weights are there.
  double verify_seconds = 0;  ///< Comparing them, where the options ask for it.
  double commit_seconds = 0;  ///< Until all ranks have agreed on the version.
  std::int64_t bytes = 0;     ///< Bytes moved between ranks, over all destination ranks.
  /// Bytes over time, 1e9 bytes a second.
  [[nodiscard]] double gigabytes_per_second() const noexcept {
    return seconds > 0 ? static_cast<double>(bytes) / seconds * 1e-9 : 0;
  }
};

/// One of the two modules of a sync.
enum class Side : std::uint8_t { source, destination };

/// Whether a destination must hold its parameters whole, over all of its ranks.
enum class Extent : std::uint8_t { whole, partial };

/// Whether memory that moved has the elements it had.
enum class Contents : std::uint8_t { lost, kept };

/// What a link needs beyond its policy; the same on every rank, which links check.
template <class T = void>
struct BasicLinkOptions {
  plan::BasicTopology<T> topology{};  ///< For the routes that look at it; flat by default.
  plan::BasicNameMap<T> names{};      ///< From the source's names to the destination's.
  /// Globs of destination names; only parameters that fit one take part. Empty: all.
  rlhf::detail::late_vector<std::string, T> only{};
  /// Only parameters for which it is true take part. Null: all.
  bool (*wanted)(std::string_view name) = nullptr;
  /// What every sync checks before it says that the destination is on the new version.
  Verification verification = Verification::none;
  /// Bytes of staging memory that no rank exceeds. 0: four buckets of the policy's size, two where
  /// no rank is on both sides. Less makes the buckets smaller, more does not make them larger.
  Bytes budget{0};
  /// `partial` lets the destination's ranks hold parts of a parameter and nobody the rest.
  Extent extent = Extent::whole;

  [[nodiscard]] bool takes(std::string_view name) const {
    bool fits = only.empty();
    for (std::string const& glob : only) {
      fits = fits || plan::matches_glob(name, glob);
    }
    return fits && (wanted == nullptr || wanted(name));
  }
  [[nodiscard]] bool takes_all() const noexcept { return only.empty() && wanted == nullptr; }
  /// Bytes of a bucket where the policy asks for `policy`. Errors: invalid_argument where the
  /// budget is too small for any.
  [[nodiscard]] std::int64_t bucket_bytes(Bytes policy, int slots) const {
    if (budget.count == 0) {
      return policy.count;
    }
    constexpr std::int64_t alignment = 256;  // of slots
    std::int64_t const each = budget.count / slots / alignment * alignment;
    if (each <= 0) {
      fail(Errc::invalid_argument, text("a budget of ", budget.count, " bytes for ", slots,
                                        " slots is too small; give at least ", slots * alignment));
    }
    return each < policy.count ? each : policy.count;
  }
};
using LinkOptions = BasicLinkOptions<>;

}  // namespace rlhf::inline v0::sync
