/// @file
/// CUDA's status codes as errors of the library. Layer: cuda.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/source_location.hpp>
#include <rlhf/core/text.hpp>

#include <cstddef>
#include <string_view>

#include <cuda_runtime_api.h>

namespace rlhf::inline v0::cuda {

/// Takes `status` out of CUDA's memory of the last error, if it is there: a failure that is
/// reported here must not appear again in someone's later check. Errors that broke the context stay
/// whatever is done. Another error than `status` is left for whoever asks for it.
inline void forget(cudaError_t status) noexcept {
  if (cudaPeekAtLastError() == status) {
    static_cast<void>(cudaGetLastError());
  }
}

namespace detail {

[[noreturn]] inline void fail(cudaError_t status, std::string_view what, SourceLocation location) {
  forget(status);
  throw Error(Errc::cuda,
              text(what, " failed: ", cudaGetErrorString(status), " (", cudaGetErrorName(status),
                   ", ", static_cast<int>(status), ")"),
              -1, static_cast<int>(status), location);
}

[[noreturn]] inline void fail_allocation(cudaError_t status, std::string_view what,
                                         std::size_t bytes, SourceLocation location) {
  forget(status);
  int device = -1;
  std::size_t free = 0;
  std::size_t total = 0;
  bool const known =
      cudaGetDevice(&device) == cudaSuccess && cudaMemGetInfo(&free, &total) == cudaSuccess;
  if (!known) {
    static_cast<void>(cudaGetLastError());
  }
  fail(status,
       known ? text(what, " of ", bytes, " bytes (device ", device, ": ", free, " of ", total,
                    " bytes free)")
             : text(what, " of ", bytes, " bytes"),
       location);
}

}  // namespace detail

/// Throws `Error{Errc::cuda}` with CUDA's own text unless `status` is success. `what` names the
/// call; `native_code()` of the error is the `cudaError_t`.
///
/// The failure does not stay in CUDA's last error, unless it broke the context (an illegal access,
/// for example): then every later call fails, too. Cost: one branch.
inline void check(cudaError_t status, std::string_view what,
                  SourceLocation location = SourceLocation::current()) {
  if (status != cudaSuccess) [[unlikely]] {
    detail::fail(status, what, location);
  }
}

/// `check` for a call that allocates: the message names the bytes asked for, the current device and
/// what it has free.
inline void check_allocation(cudaError_t status, std::string_view what, std::size_t bytes,
                             SourceLocation location = SourceLocation::current()) {
  if (status != cudaSuccess) [[unlikely]] {
    detail::fail_allocation(status, what, bytes, location);
  }
}

}  // namespace rlhf::inline v0::cuda
