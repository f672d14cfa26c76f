/// @file
/// What writers and readers of plan files agree on. Layer: adapters, private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

namespace rlhf::inline v0::plan::detail {

inline constexpr int plan_format = 1;
inline constexpr int most_world_ranks = 1 << 20;       ///< That a plan file may name.
inline constexpr std::int64_t most_numbers = 1 << 26;  ///< In all lists of a plan file.
inline constexpr std::int64_t most_bytes = std::int64_t{1} << 62;

[[nodiscard]] inline std::string fingerprint_text(std::uint64_t print) {
  char room[24];
  return {room, static_cast<std::size_t>(std::snprintf(room, sizeof room, "0x%016llx",
                                                       static_cast<unsigned long long>(print)))};
}

}  // namespace rlhf::inline v0::plan::detail
