/// @file
/// The version of the library. The build reads the three numbers from this file.
#pragma once

/// Incremented when existing programs stop compiling or change their meaning (from 1.0 on).
#define RLHF_VERSION_MAJOR 0
/// Incremented for new features; before 1.0 also for incompatible changes.
#define RLHF_VERSION_MINOR 1
/// Incremented for corrections.
#define RLHF_VERSION_PATCH 0

#define RLHF_DETAIL_TEXT(a, b, c) #a "." #b "." #c
#define RLHF_DETAIL_VERSION(a, b, c) RLHF_DETAIL_TEXT(a, b, c)

namespace rlhf::inline v0 {

/// The three numbers, for code that prefers constants over macros.
inline constexpr int version_major = RLHF_VERSION_MAJOR;
inline constexpr int version_minor = RLHF_VERSION_MINOR;
inline constexpr int version_patch = RLHF_VERSION_PATCH;

/// One number that orders versions: 10000 * major + 100 * minor + patch.
inline constexpr int version_number = 10000 * version_major + 100 * version_minor + version_patch;

/// The version as text, for logs: "0.1.0".
inline constexpr char const* version_text =
    RLHF_DETAIL_VERSION(RLHF_VERSION_MAJOR, RLHF_VERSION_MINOR, RLHF_VERSION_PATCH);

}  // namespace rlhf::inline v0

#undef RLHF_DETAIL_VERSION
#undef RLHF_DETAIL_TEXT
