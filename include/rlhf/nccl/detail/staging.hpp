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

/// Device memory as large as the largest call, and a little pinned host memory in front of it,
/// through which host memory travels in pieces. Copies between them and waits are asynchronous, so
/// that a rank that never comes is noticed; what is left for the host is memcpy.
///
/// The pinned memory never grows: pinning while a kernel of another rank of this process waits for
/// this one might wait for that kernel.
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
    if (host_.empty()) {
      host_ = cuda::PinnedBuffer(std::size_t{1} << 20);
    }
    if (device_.size() < needed_) {
      std::size_t bytes = std::size_t{64} * 1024;
      while (bytes < needed_) {
        bytes *= 2;
      }
      cuda::DeviceBuffer device(bytes);
      earlier_.push_back(std::move(device_));
      device_ = std::move(device);
    }
  }

  /// Device memory for barriers; nothing else is placed there.
  [[nodiscard]] void* token() const noexcept { return device_.data(); }

  /// Brings what `ops` read to the device.
  void copy_in(State& state, std::span<Operation const> ops) {
    std::size_t cursor = 0;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      Operation const& op = ops[i];
      std::size_t const bytes = op.staged_in < 0 ? 0 : in_bytes(state, op);
      for (std::size_t done = 0; done < bytes;) {
        if (cursor == host_.size()) {
          wait_for(state, ops, i);
          cursor = 0;
        }
        std::size_t const piece = least(bytes - done, host_.size() - cursor);
        std::memcpy(host_.data() + cursor, static_cast<std::byte const*>(op.in) + done, piece);
        cuda::check(cudaMemcpyAsync(device_.data() + op.staged_in + done, host_.data() + cursor,
                                    piece, cudaMemcpyHostToDevice, op.stream.get()),
                    "copy of host memory to the device");
        cursor += piece;
        done += piece;
      }
    }
  }

  /// Brings results back and waits for all of `ops`.
  void copy_out(State& state, std::span<Operation const> ops) {
    std::size_t cursor = 0;
    Place begin;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      Operation const& op = ops[i];
      std::size_t const bytes = op.staged_out < 0 ? 0 : out_bytes(state, op);
      for (std::size_t done = 0; done < bytes;) {
        if (cursor == host_.size()) {
          deliver(state, ops, begin, {i, done});
          begin = {i, done};
          cursor = 0;
        }
        std::size_t const piece = least(bytes - done, host_.size() - cursor);
        cuda::check(cudaMemcpyAsync(host_.data() + cursor, device_.data() + op.staged_out + done,
                                    piece, cudaMemcpyDeviceToHost, op.stream.get()),
                    "copy of device memory to the host");
        cursor += piece;
        done += piece;
      }
    }
    deliver(state, ops, begin, {ops.size(), 0});
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

  /// Byte `done` of what operation `op` writes.
  struct Place {
    std::size_t op = 0;
    std::size_t done = 0;
  };

  [[nodiscard]] static std::size_t least(std::size_t a, std::size_t b) noexcept {
    return a < b ? a : b;
  }
  [[nodiscard]] static std::size_t in_bytes(State const& state, Operation const& op) noexcept {
    return static_cast<std::size_t>(op.bytes_in(state.rank(), state.size()));
  }
  [[nodiscard]] static std::size_t out_bytes(State const& state, Operation const& op) noexcept {
    return static_cast<std::size_t>(op.bytes_out(state.rank(), state.size()));
  }

  /// Waits for the streams of the operations up to `last`.
  static void wait_for(State& state, std::span<Operation const> ops, std::size_t last) {
    Operation const* waited = nullptr;
    for (std::size_t i = 0; i < ops.size() && i <= last; ++i) {
      if (waited == nullptr || !(waited->stream == ops[i].stream)) {
        state.wait(ops, ops[i].stream);
        waited = &ops[i];
      }
    }
  }

  /// Waits for what lies in the pinned memory and hands it to the caller's.
  void deliver(State& state, std::span<Operation const> ops, Place begin, Place end) {
    wait_for(state, ops, ops.size());
    std::byte const* from = host_.data();
    for (std::size_t i = begin.op; i < ops.size() && i <= end.op; ++i) {
      std::size_t const bytes = ops[i].staged_out < 0 ? 0 : out_bytes(state, ops[i]);
      std::size_t const first = i == begin.op ? begin.done : 0;
      std::size_t const behind = i == end.op ? end.done : bytes;
      if (behind > first) {
        std::memcpy(static_cast<std::byte*>(ops[i].out) + first, from, behind - first);
        from += behind - first;
      }
    }
  }

  cuda::DeviceBuffer device_;
  cuda::PinnedBuffer host_;
  std::vector<cuda::DeviceBuffer> earlier_;
  std::size_t needed_ = 1;
};

}  // namespace rlhf::inline v0::nccl::detail
