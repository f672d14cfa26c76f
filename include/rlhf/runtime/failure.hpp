/// @file
/// What a rank failed with, as data and as words. Layer: runtime.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace rlhf::inline v0::runtime {

/// Who failed, where, and why.
template <class Late = void>
struct BasicFailure {
  Errc code = Errc::aborted;
  int rank = -1;        ///< World rank that failed.
  std::string module;   ///< For example `policy`.
  std::string phase;    ///< For example `train`.
  std::string message;  ///< What the error said.
  int native_code = 0;
  int culprit = -1;  ///< World rank at fault, the one that stalled for example; often `rank`.

  /// `rank 2, module policy, phase train, timeout: <message>`: what every rank's error says.
  [[nodiscard]] std::string text() const {
    return rlhf::text("rank ", rank, ", module ", module, ", phase ", phase, ", ", to_string(code),
                      ": ", message);
  }
};
using Failure = BasicFailure<>;

namespace detail {

inline constexpr std::string_view failure_mark = "failure of ";

/// Finds a `Failure::text()` behind `failure_mark`, the first one in a message. Whether there was
/// one.
template <class Late>
[[nodiscard]] bool find_failure(std::string_view words, BasicFailure<Late>& found) {
  std::size_t const mark = words.find(failure_mark);
  if (mark == std::string_view::npos) {
    return false;
  }
  words.remove_prefix(mark + failure_mark.size());
  auto const part = [&](std::string_view begin, std::string_view end, std::string& into) {
    std::size_t const stop = words.find(end, begin.size());
    if (!words.starts_with(begin) || stop == std::string_view::npos) {
      return false;
    }
    into = words.substr(begin.size(), stop - begin.size());
    words.remove_prefix(stop);
    return true;
  };
  std::string rank;
  std::string code;
  if (!part("rank ", ", module ", rank) || !part(", module ", ", phase ", found.module) ||
      !part(", phase ", ", ", found.phase) || !part(", ", ": ", code) || rank.size() > 9) {
    return false;
  }
  found.rank = 0;
  for (char const digit : std::string_view(rank)) {
    if (digit < '0' || digit > '9') {
      return false;
    }
    found.rank = found.rank * 10 + (digit - '0');
  }
  for (int one = 0; one <= static_cast<int>(Errc::nccl); ++one) {
    found.code = to_string(Errc{one}) == code ? Errc{one} : found.code;
  }
  found.message = words.substr(2);
  found.culprit = found.rank;
  return true;
}

}  // namespace detail

}  // namespace rlhf::inline v0::runtime
