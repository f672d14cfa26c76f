/// @file
/// One call of a communicator as data: so that it can wait for the end of its group, be staged
/// through device memory, and be named in errors. Layer: nccl, private.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/nccl/dtype.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <nccl.h>

namespace rlhf::inline v0::nccl::detail {

enum class Kind : std::uint8_t {
  broadcast,
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  send,
  recv,
  barrier,
  split,
  wait,
  condition,
  create,
  finalize,
  registration,
};

[[nodiscard]] constexpr std::string_view to_string(Kind kind) noexcept {
  constexpr std::string_view names[] = {"broadcast",
                                        "all_reduce",
                                        "all_gather",
                                        "reduce_scatter",
                                        "all_to_all",
                                        "send",
                                        "recv",
                                        "barrier",
                                        "split",
                                        "wait for a stream",
                                        "wait for a condition",
                                        "creation of the communicator",
                                        "finalize",
                                        "registration of memory"};
  return names[static_cast<std::size_t>(kind)];
}

struct Operation {
  Kind kind{};
  DType dtype = DType::u8;
  comm::Reduce reduce = comm::Reduce::sum;
  int peer = -1;  ///< Root, receiver or sender.
  std::int64_t count = 0;
  void const* in = nullptr;
  void* out = nullptr;
  cuda::StreamView stream{};

  // Where host memory is staged: offsets in the scratch memory, -1 for device memory.
  std::int64_t staged_in = -1;
  std::int64_t staged_out = -1;

  /// Bytes that a rank of a group of `size` reads and writes.
  [[nodiscard]] std::int64_t bytes_in(int rank, int size) const noexcept {
    std::int64_t const bytes = count * size_of(dtype);
    switch (kind) {
      case Kind::broadcast:
        return rank == peer ? bytes : 0;
      case Kind::all_reduce:
      case Kind::all_gather:
      case Kind::send:
        return bytes;
      case Kind::reduce_scatter:
      case Kind::all_to_all:
        return bytes * size;
      default:
        return 0;
    }
  }
  [[nodiscard]] std::int64_t bytes_out(int rank, int size) const noexcept {
    std::int64_t const bytes = count * size_of(dtype);
    switch (kind) {
      case Kind::broadcast:
        return rank == peer ? 0 : bytes;
      case Kind::all_reduce:
      case Kind::reduce_scatter:
      case Kind::recv:
        return bytes;
      case Kind::all_gather:
      case Kind::all_to_all:
        return bytes * size;
      default:
        return 0;
    }
  }
};

/// `all_reduce(1024 x f32, sum, 4096 bytes)`
[[nodiscard]] inline std::string describe(Operation const& op) {
  switch (op.kind) {
    case Kind::barrier:
    case Kind::split:
    case Kind::wait:
    case Kind::condition:
    case Kind::create:
    case Kind::finalize:
    case Kind::registration:
      return std::string(to_string(op.kind));
    default:
      break;
  }
  std::string out = text(to_string(op.kind), "(", op.count, " x ", rlhf::to_string(op.dtype));
  if (op.kind == Kind::broadcast) {
    out += text(", root ", op.peer);
  } else if (op.kind == Kind::all_reduce || op.kind == Kind::reduce_scatter) {
    out += text(", ", comm::to_string(op.reduce));
  } else if (op.kind == Kind::send) {
    out += text(", to rank ", op.peer);
  } else if (op.kind == Kind::recv) {
    out += text(", from rank ", op.peer);
  }
  return out + text(", ", op.count * size_of(op.dtype), " bytes)");
}

/// One operation as it is; several as `group of 3, send(...) first, 4096 bytes in all`.
[[nodiscard]] inline std::string describe(std::span<Operation const> ops) {
  if (ops.size() == 1) {
    return describe(ops.front());
  }
  std::int64_t bytes = 0;
  for (Operation const& op : ops) {
    bytes += op.count * size_of(op.dtype);
  }
  return text("a group of ", ops.size(), ", ", describe(ops.front()), " first, ", bytes,
              " bytes in all");
}

/// Hands an operation to NCCL, with these pointers.
[[nodiscard]] inline ncclResult_t issue(Operation const& op, void const* in, void* out, int size,
                                        ncclComm_t comm) {
  auto const count = static_cast<std::size_t>(op.count);
  ncclDataType_t const type = to_nccl(op.dtype);
  cudaStream_t const stream = op.stream.get();
  switch (op.kind) {
    case Kind::broadcast:
      return ncclBroadcast(in, out, count, type, op.peer, comm, stream);
    case Kind::all_reduce:
    case Kind::barrier:
      return ncclAllReduce(in, out, count, type, to_nccl(op.reduce), comm, stream);
    case Kind::all_gather:
      return ncclAllGather(in, out, count, type, comm, stream);
    case Kind::reduce_scatter:
      return ncclReduceScatter(in, out, count, type, to_nccl(op.reduce), comm, stream);
    case Kind::send:
      return ncclSend(in, count, type, op.peer, comm, stream);
    case Kind::recv:
      return ncclRecv(out, count, type, op.peer, comm, stream);
    case Kind::all_to_all:
      break;
    default:
      return ncclSuccess;
  }
  // Not ncclAlltoAll, which NCCL has from 2.28 on only; it does the same.
  std::int64_t const block = op.count * size_of(op.dtype);
  ncclResult_t result = ncclGroupStart();
  for (int r = 0; r < size && (result == ncclSuccess || result == ncclInProgress); ++r) {
    result = ncclSend(static_cast<std::byte const*>(in) + r * block, count, type, r, comm, stream);
    if (result == ncclSuccess || result == ncclInProgress) {
      result = ncclRecv(static_cast<std::byte*>(out) + r * block, count, type, r, comm, stream);
    }
  }
  ncclResult_t const end = ncclGroupEnd();
  return result == ncclSuccess || result == ncclInProgress ? end : result;
}

}  // namespace rlhf::inline v0::nccl::detail
