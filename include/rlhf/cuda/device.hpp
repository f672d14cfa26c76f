/// @file
/// Devices: how many, which is current, what they offer. Layer: cuda.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/cuda/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

#include <cuda_runtime_api.h>

namespace rlhf::inline v0::cuda {

/// Devices that this process sees: 0 where there is none, or no driver.
[[nodiscard]] inline int device_count() {
  int count = 0;
  cudaError_t const status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) {
    forget(status);
    return 0;
  }
  check(status, "cudaGetDeviceCount");
  return count;
}

/// Errors: cuda where this process sees fewer than `count` devices; the message says why.
inline void expect_devices(int count, SourceLocation location = SourceLocation::current()) {
  int present = 0;
  cudaError_t const status = cudaGetDeviceCount(&present);
  forget(status);
  if (status != cudaSuccess || present < count) {
    throw Error(
        Errc::cuda,
        text("needs ", count, " devices, this process sees ", status == cudaSuccess ? present : 0,
             status == cudaSuccess ? std::string() : text(" (", cudaGetErrorString(status), ")"),
             "; see nvidia-smi and CUDA_VISIBLE_DEVICES"),
        -1, static_cast<int>(status), location);
  }
}

/// The device that this thread's calls go to.
[[nodiscard]] inline int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}
inline void set_device(int device) {
  cudaError_t const status = cudaSetDevice(device);
  if (status != cudaSuccess) {
    check(status, text("cudaSetDevice(", device, ") of ", device_count()));
  }
}

/// Makes a device current for a scope.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) : before_(current_device()), changed_(device != before_) {
    if (changed_) {
      set_device(device);
    }
  }
  DeviceGuard(DeviceGuard const&) = delete;
  DeviceGuard& operator=(DeviceGuard const&) = delete;
  DeviceGuard(DeviceGuard&&) = delete;
  DeviceGuard& operator=(DeviceGuard&&) = delete;
  ~DeviceGuard() {
    if (changed_) {
      static_cast<void>(cudaSetDevice(before_));
    }
  }

 private:
  int before_;
  bool changed_;
};

/// What a device offers.
[[nodiscard]] inline int device_attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}
[[nodiscard]] inline int multiprocessors(int device = current_device()) {
  return device_attribute(cudaDevAttrMultiProcessorCount, device);
}
/// "NVIDIA H200". Cost: milliseconds; not for loops.
[[nodiscard]] inline std::string device_name(int device = current_device()) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties.name;
}

/// Bytes of a device's memory, over all processes.
struct DeviceMemory {
  std::size_t free = 0;
  std::size_t total = 0;
};
[[nodiscard]] inline DeviceMemory device_memory(int device = current_device()) {
  DeviceGuard const guard(device);
  DeviceMemory memory;
  check(cudaMemGetInfo(&memory.free, &memory.total), "cudaMemGetInfo");
  return memory;
}

/// Whether kernels and copies on `device` can reach the memory of `peer`. True for itself.
[[nodiscard]] inline bool can_access_peer(int device, int peer) {
  if (device == peer) {
    return true;
  }
  int can = 0;
  check(cudaDeviceCanAccessPeer(&can, device, peer), "cudaDeviceCanAccessPeer");
  return can != 0;
}

/// Lets kernels on `device` reach the memory of `peer` from now on. One direction; asking again, or
/// for the device itself, changes nothing. Errors: cuda where the two cannot reach each other.
inline void enable_peer_access(int device, int peer) {
  if (device == peer) {
    return;
  }
  DeviceGuard const guard(device);
  cudaError_t const status = cudaDeviceEnablePeerAccess(peer, 0);
  if (status == cudaErrorPeerAccessAlreadyEnabled) {
    forget(status);
  } else if (status != cudaSuccess) {
    check(status, text("peer access of device ", device, " to device ", peer));
  }
}

}  // namespace rlhf::inline v0::cuda
