/// @file
/// Links and engines over NCCL whose models lie in device memory. Layer: adapters.
#pragma once

#if !defined(__CUDACC__)
#  error "rlhf/adapters/nccl_packer.cuh has kernels: compile it with nvcc"
#endif

#include <rlhf/cuda/packer.cuh>
#include <rlhf/nccl/communicator.hpp>
#include <rlhf/sync/link.hpp>

namespace rlhf::inline v0::sync {

/// With this header `sync::Link link(world, source, destination)` and `engine::sync` take
/// `cuda::Packer` over NCCL: the direct route inside a host, kernels that pack elsewhere. Without
/// it, or where models lie in host memory, they take the packer of host memory, for which weights
/// in device memory are out of reach.
///
/// Include it in every file that makes links over NCCL, or in none.
template <>
struct PackerFor<nccl::Communicator> {
  using type = cuda::Packer;
};

}  // namespace rlhf::inline v0::sync
