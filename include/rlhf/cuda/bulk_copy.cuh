/// @file
/// Bulk copies between global and shared memory, which compute capability 9 brought. Layer: cuda.
#pragma once

#if !defined(__CUDACC__)
#  error "rlhf/cuda/bulk_copy.cuh has device code: compile it with nvcc"
#endif

#include <rlhf/core/config.hpp>

#include <cstddef>
#include <cstdint>

namespace rlhf::inline v0::cuda::detail {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#  define RLHF_HAS_BULK_COPIES 1

__device__ inline std::uint32_t shared_address(void const* in_shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(in_shared));
}
__device__ inline void barrier_init(std::uint64_t* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
}
__device__ inline void barrier_expect(std::uint64_t* barrier, std::uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}
__device__ inline void barrier_wait(std::uint64_t* barrier, std::uint32_t parity) {
  std::uint32_t done = 0;
  do {
    asm volatile(
        "{\n"
        ".reg .pred passed;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 passed, [%1], %2;\n"
        "selp.u32 %0, 1, 0, passed;\n"
        "}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  } while (done == 0);
}
__device__ inline void bulk_load(void* to, std::byte const* from, std::uint32_t bytes,
                                 std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}
__device__ inline void bulk_store(std::byte* to, void const* from, std::uint32_t bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(
                   __cvta_generic_to_global(to)),
               "r"(shared_address(from)), "r"(bytes)
               : "memory");
}
__device__ inline void bulk_commit() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
/// All but the newest `Pending` groups of this thread have been read.
template <std::uint32_t Pending>
__device__ void bulk_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(Pending) : "memory");
}
/// All but the newest `Pending` groups of this thread are where they belong.
template <std::uint32_t Pending>
__device__ void bulk_wait() {
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(Pending) : "memory");
}
/// What this thread knows to be there is there for bulk copies, too.
__device__ inline void bulk_fence() {
  asm volatile("fence.proxy.async.global;" ::: "memory");
}

#endif

}  // namespace rlhf::inline v0::cuda::detail
