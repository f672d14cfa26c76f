/// @file
/// Element types and reductions as NCCL names them. Layer: nccl.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <nccl.h>

namespace rlhf::inline v0::nccl {

[[nodiscard]] constexpr ncclDataType_t to_nccl(DType dtype) noexcept {
  switch (dtype) {
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclFloat16;
    case DType::f64:
      return ncclFloat64;
    case DType::i64:
      return ncclInt64;
    case DType::i32:
      return ncclInt32;
    case DType::u8:
      return ncclUint8;
  }
  return ncclUint8;
}

/// NCCL sums in an order of its own: equal on every rank and run of one machine and version, not
/// equal to the order of `comm::Local`.
[[nodiscard]] constexpr ncclRedOp_t to_nccl(comm::Reduce op) noexcept {
  switch (op) {
    case comm::Reduce::sum:
      return ncclSum;
    case comm::Reduce::max:
      return ncclMax;
    case comm::Reduce::min:
      return ncclMin;
  }
  return ncclSum;
}

}  // namespace rlhf::inline v0::nccl
