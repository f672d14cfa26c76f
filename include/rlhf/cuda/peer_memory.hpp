/// @file
/// Other ranks' device memory, mapped so that kernels here can write to it. Layer: cuda.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <unistd.h>

namespace rlhf::inline v0::cuda {

/// A number that processes of one host share, and of no other: of its boot and its name.
[[nodiscard]] inline std::uint64_t host_number() {
  char text[256] = {};
  Fingerprint print;
  if (gethostname(text, sizeof text - 1) == 0) {
    print.add(std::string_view(text));
  }
  if (std::FILE* const file = std::fopen("/proc/sys/kernel/random/boot_id", "r")) {
    std::size_t const read = std::fread(text, 1, sizeof text, file);
    std::fclose(file);
    print.add(std::string_view(text, read));
  }
  return print.value();
}

/// How another rank finds a piece of device memory. Plain data, sent as bytes.
struct MemoryCard {
  std::uint64_t host = 0;
  std::int64_t process = 0;
  std::int64_t device = 0;
  std::uint64_t address = 0;  ///< Where it is in its own process,
  std::uint64_t offset = 0;   ///< and how far from the beginning of its allocation.
  cudaIpcMemHandle_t handle{};
  std::int32_t exported = 0;  ///< Whether other processes can map it.
};

namespace detail {

struct Allocation {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
};

/// The allocation that an address lies in. Errors: cuda.
[[nodiscard]] inline Allocation allocation_of(void const* address) {
  // The driver's call, found through the runtime, so that nobody has to link the driver.
  using Range = CUresult (*)(CUdeviceptr*, std::size_t*, CUdeviceptr);
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  check(cudaGetDriverEntryPointByVersion("cuMemGetAddressRange", &entry, 12000, cudaEnableDefault,
                                         &found),
        "cudaGetDriverEntryPointByVersion");
  expects(entry != nullptr, "the CUDA driver has no cuMemGetAddressRange");
  CUdeviceptr base = 0;
  std::size_t size = 0;
  CUresult const status = reinterpret_cast<Range>(entry)(
      &base, &size, static_cast<CUdeviceptr>(reinterpret_cast<std::uintptr_t>(address)));
  if (status != CUDA_SUCCESS) {
    rlhf::fail(Errc::cuda, "cuMemGetAddressRange failed: is this device memory?");
  }
  return {static_cast<std::uintptr_t>(base), size};
}

}  // namespace detail

/// The card of device memory. Memory that CUDA cannot export to other processes (of a pool, or
/// mapped piece by piece) has a card for this process only. Errors: cuda where it is no device
/// memory.
[[nodiscard]] inline MemoryCard card_of(void const* data) {
  MemoryCard card;
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, data), "cudaPointerGetAttributes");
  if (attributes.type != cudaMemoryTypeDevice) {
    fail(Errc::invalid_argument, "weights that are written to directly must lie in device memory");
  }
  card.host = host_number();
  card.process = getpid();
  card.device = attributes.device;
  card.address = reinterpret_cast<std::uintptr_t>(data);
  card.offset = card.address - detail::allocation_of(data).begin;
  cudaError_t const status =
      cudaIpcGetMemHandle(&card.handle, const_cast<void*>(data));  // NOLINT: not written to
  forget(status);
  card.exported = status == cudaSuccess ? 1 : 0;
  return card;
}

/// Cards of many addresses in few allocations.
class MemoryCards {
 public:
  [[nodiscard]] MemoryCard of(void const* data) {
    auto const address = reinterpret_cast<std::uintptr_t>(data);
    for (Known const& known : known_) {
      if (address >= known.where.begin && address - known.where.begin < known.where.bytes) {
        MemoryCard card = known.card;
        card.address = address;
        card.offset = address - known.where.begin;
        return card;
      }
    }
    MemoryCard const card = card_of(data);
    known_.insert(known_.begin(), {detail::allocation_of(data), card});
    return card;
  }

 private:
  struct Known {
    detail::Allocation where;
    MemoryCard card;
  };
  std::vector<Known> known_;  // the newest first: neighbours are asked for one after the other
};

/// Mappings of other ranks' memory into this process, each allocation once; unmapped when this
/// ends.
///
/// Writes through a mapping reach memory that its owner has freed or whose process has ended
/// without harm to others: CUDA keeps it until the last mapping is closed. Thread safety: one
/// caller.
class PeerMemory {
 public:
  PeerMemory() noexcept = default;
  PeerMemory(PeerMemory&& other) noexcept : mappings_(std::exchange(other.mappings_, {})) {}
  PeerMemory& operator=(PeerMemory&& other) noexcept {
    std::swap(mappings_, other.mappings_);
    return *this;
  }
  PeerMemory(PeerMemory const&) = delete;
  PeerMemory& operator=(PeerMemory const&) = delete;
  ~PeerMemory() {
    for (Mapping const& mapping : mappings_) {
      static_cast<void>(cudaIpcCloseMemHandle(mapping.base));
    }
  }

  /// The memory as the current device's kernels see it; null where it cannot be reached from here.
  [[nodiscard]] std::byte* map(MemoryCard const& card) {
    int const device = current_device();
    if (card.host != host_number()) {
      return nullptr;
    }
    if (card.process == getpid()) {
      int const owner = static_cast<int>(card.device);
      if (!can_access_peer(device, owner)) {
        return nullptr;
      }
      enable_peer_access(device, owner);
      return reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(card.address));
    }
    if (card.exported == 0) {
      return nullptr;
    }
    for (Mapping const& mapping : mappings_) {
      if (std::memcmp(&mapping.handle, &card.handle, sizeof card.handle) == 0) {
        return static_cast<std::byte*>(mapping.base) + card.offset;
      }
    }
    Mapping mapping{card.handle, nullptr};
    cudaError_t const status =
        cudaIpcOpenMemHandle(&mapping.base, card.handle, cudaIpcMemLazyEnablePeerAccess);
    forget(status);
    if (status != cudaSuccess) {
      return nullptr;
    }
    mappings_.push_back(mapping);
    return static_cast<std::byte*>(mapping.base) + card.offset;
  }

  [[nodiscard]] std::size_t mappings() const noexcept { return mappings_.size(); }

 private:
  struct Mapping {
    cudaIpcMemHandle_t handle;
    void* base;
  };
  std::vector<Mapping> mappings_;
};

}  // namespace rlhf::inline v0::cuda
