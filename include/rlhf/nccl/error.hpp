/// @file
/// NCCL's result codes as errors of the library. Layer: nccl.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/source_location.hpp>
#include <rlhf/core/text.hpp>

#include <string>
#include <string_view>

#include <nccl.h>

namespace rlhf::inline v0::nccl {

/// NCCL's text of a result code, followed by its last error where it has one. NCCL keeps one last
/// error a process, so with several communicators it may be another's.
[[nodiscard]] inline std::string describe(ncclResult_t result, ncclComm_t comm = nullptr) {
  char const* const last = ncclGetLastError(comm);
  std::string_view const more = last == nullptr ? std::string_view() : std::string_view(last);
  return text(ncclGetErrorString(result), more.empty() ? "" : "; last error: ", more);
}

/// Throws `Error{Errc::nccl}` with NCCL's text and its last error unless `result` is success or in
/// progress. `what` names the call; `native_code()` of the error is the `ncclResult_t`.
inline void check(ncclResult_t result, std::string_view what, ncclComm_t comm = nullptr,
                  SourceLocation location = SourceLocation::current()) {
  if (result != ncclSuccess && result != ncclInProgress) [[unlikely]] {
    throw Error(Errc::nccl, text(what, " failed: ", describe(result, comm)), -1,
                static_cast<int>(result), location);
  }
}

}  // namespace rlhf::inline v0::nccl
