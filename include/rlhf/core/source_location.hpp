/// @file
/// Where a call was made, for error messages. Layer: core.
#pragma once

namespace rlhf::inline v0 {

/// File and line of a call. Stands in for `std::source_location`, which clang 14 lacks.
struct SourceLocation {
  char const* file = "";
  int line = 0;

  /// The caller's place when used as a default argument.
  [[nodiscard]] static constexpr SourceLocation current(char const* file = __builtin_FILE(),
                                                        int line = __builtin_LINE()) noexcept {
    return SourceLocation{file, line};
  }
};

}  // namespace rlhf::inline v0
