/// @file
/// Host memory in calls that take device memory. Layer: nccl, private.
#pragma once

#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/error.hpp>
#include <rlhf/nccl/detail/operation.hpp>
#include <rlhf/nccl/detail/state.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

namespace rlhf::inline v0::nccl::detail {

/// Whether kernels cannot be counted on to reach the memory. Pinned memory counts as host memory:
/// whether NCCL can use it depends on who shares it.
inline bool is_host_memory(void const* memory) {
  cudaPointerAttributes attributes{};
  cudaError_t const status = cudaPointerGetAttributes(&attributes, memory);
  if (status != cudaSuccess) {  // CUDA before 11 did not know ordinary memory
    cuda::forget(status);
    return true;
  }
  return attributes.type == cudaMemoryTypeUnregistered || attributes.type == cudaMemoryTypeHost;
}

/// Device memory, and pinned host memory in front of it, through which host memory travels. Both
/// grow to the largest call. Copies between them and waits are asynchronous, so that a rank that
/// never comes is noticed; what is left for the host is memcpy.
class Staging {
 public:
  /// Places the host memory of `ops`; false where there is none.
  bool place(std::span<Operation> ops, int rank, int size) {
    std::int64_t total = reserved;
    auto const put = [&](std::int64_t bytes) {
      std::int64_t const at = total;
      total += (bytes + alignment - 1) / alignment * alignment;
      return at;
    };
    for (Operation& op : ops) {
      std::int64_t const in = op.bytes_in(rank, size);
      std::int64_t const out = op.bytes_out(rank, size);
      op.staged_in = in > 0 && is_host_memory(op.in) ? put(in) : -1;
      bool const same = op.kind == Kind::broadcast;  // one buffer, read or written
      op.staged_out = out > 0 && is_host_memory(op.out) ? put(out) : (same ? op.staged_in : -1);
      op.staged_in = same ? op.staged_out : op.staged_in;
    }
    needed_ = static_cast<std::size_t>(total);
    return total > reserved;
  }

  /// Makes room. Smaller memory is kept until the end: giving it back would wait for everything on
  /// the device without a deadline, and captured barriers point to it.
  void reserve() {
    if (device_.size() < needed_) {
      std::size_t bytes = std::size_t{64} * 1024;
      while (bytes < needed_) {
        bytes *= 2;
      }
      cuda::DeviceBuffer device(bytes);
      cuda::PinnedBuffer host(bytes);
      earlier_.push_back(std::move(device_));
      device_ = std::move(device);
      earlier_host_.push_back(std::move(host_));
      host_ = std::move(host);
    }
  }

  /// Device memory for barriers; nothing else is placed there.
  [[nodiscard]] void* token() const noexcept { return device_.data(); }

  void copy_in(std::span<Operation const> ops, int rank, int size) {
    for (Operation const& op : ops) {
      auto const bytes = static_cast<std::size_t>(op.bytes_in(rank, size));
      if (op.staged_in >= 0 && bytes > 0) {
        std::memcpy(host_.data() + op.staged_in, op.in, bytes);
        cuda::check(cudaMemcpyAsync(device_.data() + op.staged_in, host_.data() + op.staged_in,
                                    bytes, cudaMemcpyHostToDevice, op.stream.get()),
                    "copy of host memory to the device");
      }
    }
  }

  /// Brings results back and waits for all of `ops`.
  void copy_out(State& state, std::span<Operation const> ops) {
    int const rank = state.rank();
    int const size = state.size();
    for (Operation const& op : ops) {
      auto const bytes = static_cast<std::size_t>(op.bytes_out(rank, size));
      if (op.staged_out >= 0 && bytes > 0) {
        cuda::check(cudaMemcpyAsync(host_.data() + op.staged_out, device_.data() + op.staged_out,
                                    bytes, cudaMemcpyDeviceToHost, op.stream.get()),
                    "copy of device memory to the host");
      }
    }
    Operation const* waited = nullptr;
    for (Operation const& op : ops) {
      if (waited == nullptr || !(waited->stream == op.stream)) {
        state.wait(ops, op.stream);
        waited = &op;
      }
    }
    for (Operation const& op : ops) {
      auto const bytes = static_cast<std::size_t>(op.bytes_out(rank, size));
      if (op.staged_out >= 0 && bytes > 0) {
        std::memcpy(op.out, host_.data() + op.staged_out, bytes);
      }
    }
  }

  [[nodiscard]] void const* in(Operation const& op) const noexcept {
    return op.staged_in >= 0 ? device_.data() + op.staged_in : op.in;
  }
  [[nodiscard]] void* out(Operation const& op) const noexcept {
    return op.staged_out >= 0 ? device_.data() + op.staged_out : op.out;
  }

 private:
  static constexpr std::int64_t alignment = 256;
  static constexpr std::int64_t reserved = alignment;  // the token

  cuda::DeviceBuffer device_;
  cuda::PinnedBuffer host_;
  std::vector<cuda::DeviceBuffer> earlier_;
  std::vector<cuda::PinnedBuffer> earlier_host_;
  std::size_t needed_ = 1;
};

}  // namespace rlhf::inline v0::nccl::detail
