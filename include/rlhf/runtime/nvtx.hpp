/// @file
/// Ranges that NVIDIA's profilers show, where asked for; else nothing. Layer: runtime.
///
/// Define `RLHF_ENABLE_NVTX` to 1 before the first include, for all sources of a program or for
/// none that share templates; <nvtx3/nvToolsExt.h> must then be found (CUDA has it). Without, the
/// header includes nothing and a range does nothing.
#pragma once

#if defined(RLHF_ENABLE_NVTX) && RLHF_ENABLE_NVTX
#  if !__has_include(<nvtx3/nvToolsExt.h>)
#    error "RLHF_ENABLE_NVTX needs <nvtx3/nvToolsExt.h>; add the include folder of CUDA or of NVTX"
#  endif
#  include <nvtx3/nvToolsExt.h>

namespace rlhf::inline v0::runtime {
// The two ranges have different names to the linker: sources with and without do not mix.
inline namespace with_nvtx {

/// Whether ranges are shown.
inline constexpr bool nvtx_enabled = true;

/// A range of the calling thread until it goes away. Cost: some nanoseconds without a profiler.
class NvtxRange {
 public:
  explicit NvtxRange(char const* name) noexcept { nvtxRangePushA(name); }
  NvtxRange(NvtxRange const&) = delete;
  NvtxRange& operator=(NvtxRange const&) = delete;
  NvtxRange(NvtxRange&&) = delete;
  NvtxRange& operator=(NvtxRange&&) = delete;
  ~NvtxRange() { nvtxRangePop(); }
};

}  // namespace with_nvtx
}  // namespace rlhf::inline v0::runtime
#else

namespace rlhf::inline v0::runtime {
inline namespace without_nvtx {

/// Whether ranges are shown.
inline constexpr bool nvtx_enabled = false;

/// Nothing.
class NvtxRange {
 public:
  explicit NvtxRange(char const*) noexcept {}
  NvtxRange(NvtxRange const&) = delete;
  NvtxRange& operator=(NvtxRange const&) = delete;
  NvtxRange(NvtxRange&&) = delete;
  NvtxRange& operator=(NvtxRange&&) = delete;
  ~NvtxRange() {}  // NOLINT(modernize-use-equals-default): no warnings for unused objects
};

}  // namespace without_nvtx
}  // namespace rlhf::inline v0::runtime
#endif
