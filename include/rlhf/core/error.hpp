/// @file
/// The one exception type of the library, and the check that throws it. Layer: core.
#pragma once

#include <rlhf/core/source_location.hpp>
#include <rlhf/core/text.hpp>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace rlhf::inline v0 {

/// What went wrong, in terms of what a caller can do about it.
enum class Errc {
  invalid_argument,     ///< A call's arguments do not fit; change the call.
  incompatible_policy,  ///< Policies or layouts do not fit each other; choose others.
  rank_mismatch,        ///< Ranks disagree about what they do together; the text names them.
  corrupted,            ///< Data arrived or was read that is not what was written.
  timeout,              ///< A wait reached its deadline; the text names who was missing.
  aborted,              ///< Another rank failed first; the text names it and its error.
  io,                   ///< The operating system refused a file operation.
  cuda,                 ///< A CUDA call failed; `native_code` is the `cudaError_t`.
  nccl,                 ///< An NCCL call failed; `native_code` is the `ncclResult_t`.
};

/// The name of an error code, as messages print it.
[[nodiscard]] constexpr std::string_view to_string(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument:
      return "invalid argument";
    case Errc::incompatible_policy:
      return "incompatible policy";
    case Errc::rank_mismatch:
      return "rank mismatch";
    case Errc::corrupted:
      return "corrupted data";
    case Errc::timeout:
      return "timeout";
    case Errc::aborted:
      return "aborted";
    case Errc::io:
      return "input/output";
    case Errc::cuda:
      return "cuda";
    case Errc::nccl:
      return "nccl";
  }
  return "unknown";
}

/// Every failure that the library reports at run time. One catch clause serves a trainer.
///
/// `what()` reads `<code>: <message> (at <file>:<line>)`. `rank()` is the world rank that the
/// failure is about (the one that died, stalled or disagreed), or -1 where no rank is at fault.
class Error : public std::runtime_error {
 public:
  Error(Errc code, std::string_view message, int rank = -1, int native_code = 0,
        SourceLocation location = SourceLocation::current())
      : std::runtime_error(
            text(to_string(code), ": ", message, " (at ", location.file, ":", location.line, ")")),
        location_(location),
        message_size_(message.size()),
        code_(code),
        rank_(rank),
        native_code_(native_code) {}

  /// What went wrong, without code and place: for messages that add to it.
  [[nodiscard]] std::string_view message() const noexcept {
    return std::string_view(what()).substr(to_string(code_).size() + 2, message_size_);
  }
  [[nodiscard]] Errc code() const noexcept { return code_; }
  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int native_code() const noexcept { return native_code_; }
  [[nodiscard]] SourceLocation location() const noexcept { return location_; }

 private:
  SourceLocation location_;
  std::size_t message_size_;
  Errc code_;
  int rank_;
  int native_code_;
};

/// Throws `Error{invalid_argument}` unless `condition` holds. The message says what must hold.
///
/// Cost: one branch; the message is only built on failure when it is a literal. Where a message
/// needs numbers, test first and call `fail`.
constexpr void expects(bool condition, std::string_view what_must_hold,
                       SourceLocation location = SourceLocation::current()) {
  if (!condition) {
    throw Error(Errc::invalid_argument, what_must_hold, -1, 0, location);
  }
}

/// Throws `Error{code}` with this message.
[[noreturn]] inline void fail(Errc code, std::string_view message, int rank = -1,
                              SourceLocation location = SourceLocation::current()) {
  throw Error(code, message, rank, 0, location);
}

}  // namespace rlhf::inline v0
