/// @file
/// What the operating system said, as an Error. Layer: core.
#pragma once

#include <rlhf/core/error.hpp>

#include <cstring>
#include <string_view>

namespace rlhf::inline v0 {

/// Throws `Error{io}`: `cannot <what> <path>: <the system's words>`, the number in `native_code`.
template <class = void>
[[noreturn]] void fail_system(std::string_view what, std::string_view path, int error,
                              SourceLocation location = SourceLocation::current()) {
  char buffer[128] = "unknown error";
  // Two functions of that name are about: one returns the text, one a status.
  struct Pick {
    static char const* text(char const* found, char const*) noexcept { return found; }
    static char const* text(int, char const* filled) noexcept { return filled; }
  };
  char const* const words = Pick::text(strerror_r(error, buffer, sizeof buffer), buffer);
  throw Error(Errc::io, text("cannot ", what, " ", path, ": ", words), -1, error, location);
}

}  // namespace rlhf::inline v0
