/// @file
/// Device memory that NCCL's transfers read and write in place. Layer: nccl.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/nccl/detail/fate.hpp>
#include <rlhf/nccl/detail/release.hpp>
#include <rlhf/nccl/error.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <cuda_runtime_api.h>
#include <nccl.h>

namespace rlhf::inline v0::nccl {

class Communicator;

/// Memory of the current device that a communicator knows (`Communicator::registered`), so that
/// its transfers between such memory need no copies through NCCL's own buffers: on one host a
/// rank's kernel stores straight into its peer's memory, across hosts the network card does.
///
/// NCCL asks for it at both ends: what is sent from registered memory must arrive in registered
/// memory. Allocated by `ncclMemAlloc`, in pages of 2 MiB. The destructor waits for the device's
/// work, ten seconds at most, and leaves the memory behind after that. Thread safety: one caller.
class RegisteredMemory {
 public:
  RegisteredMemory() noexcept = default;
  /// Plain memory, known to nobody.
  explicit RegisteredMemory(cuda::DeviceBuffer plain) noexcept : plain_(std::move(plain)) {}
  /// Errors: cuda, with the bytes and the device, where there is not enough memory.
  explicit RegisteredMemory(std::int64_t bytes) {
    if (bytes <= 0) {
      return;
    }
    auto owned = std::make_unique<Owned>();
    owned->device = cuda::current_device();
    owned->bytes = static_cast<std::size_t>(bytes);
    ncclResult_t const result = ncclMemAlloc(&owned->data, owned->bytes);
    if (result != ncclSuccess) {
      static_cast<void>(cudaGetLastError());
      throw Error(
          Errc::cuda,
          text("allocation of ", bytes, " bytes of memory for transfers on device ", owned->device,
               " failed: ", describe(result), "; ", cuda::device_memory().free, " bytes are free"),
          -1, static_cast<int>(result));
    }
    owned_ = std::move(owned);
  }
  RegisteredMemory(RegisteredMemory&&) noexcept = default;
  RegisteredMemory& operator=(RegisteredMemory&& other) noexcept {
    RegisteredMemory moved(std::move(other));
    std::swap(owned_, moved.owned_);
    std::swap(plain_, moved.plain_);
    return *this;
  }
  RegisteredMemory(RegisteredMemory const&) = delete;
  RegisteredMemory& operator=(RegisteredMemory const&) = delete;
  ~RegisteredMemory() {
    // On a thread of its own: giving back talks to other ranks' NCCL, and waits for the device.
    static_cast<void>(Release(owned_.release()));
  }

  [[nodiscard]] std::byte* data() const noexcept {
    return owned_ != nullptr ? static_cast<std::byte*>(owned_->data) : plain_.data();
  }
  [[nodiscard]] std::size_t size() const noexcept {
    return owned_ != nullptr ? owned_->bytes : plain_.size();
  }

 private:
  friend class Communicator;

  struct Owned {
    void* data = nullptr;
    std::size_t bytes = 0;
    int device = 0;
    std::shared_ptr<detail::Handle> communicator;  // that knows it, or null
    void* registration = nullptr;
  };
  struct Release {
    explicit Release(Owned* owned) noexcept {
      if (owned != nullptr) {
        static_cast<void>(
            detail::Release(&give_back, owned).finish(Deadline::after(detail::release_patience)));
      }
    }
    static void give_back(void* object) {
      std::unique_ptr<Owned> const owned(static_cast<Owned*>(object));
      static_cast<void>(cudaSetDevice(owned->device));
      static_cast<void>(cudaDeviceSynchronize());
      if (owned->communicator != nullptr) {
        static_cast<void>(owned->communicator->with([&](ncclComm_t comm) {
          static_cast<void>(ncclCommDeregister(comm, owned->registration));
        }));
      }
      static_cast<void>(ncclMemFree(owned->data));
      static_cast<void>(cudaGetLastError());
    }
  };

  std::unique_ptr<Owned> owned_;
  cuda::DeviceBuffer plain_;
};

}  // namespace rlhf::inline v0::nccl
