/// @file
/// Owners of device memory and of pinned host memory. Layer: cuda.
#pragma once

#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/error.hpp>
#include <rlhf/cuda/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

namespace rlhf::inline v0::cuda {

/// Memory of the current device, by plain `cudaMalloc`: other processes can map it through CUDA
/// IPC. Not initialised. Of size 0 it holds nothing and `data()` is null.
///
/// Allocating and freeing may wait for the device; `StreamBuffer` does not.
/// Errors: cuda, with the bytes and the device, where there is not enough memory.
class DeviceBuffer {
 public:
  DeviceBuffer() noexcept = default;
  explicit DeviceBuffer(std::size_t bytes) : size_(bytes), device_(current_device()) {
    if (bytes != 0) {
      void* data = nullptr;
      check_allocation(cudaMalloc(&data, bytes), "allocation of device memory", bytes);
      data_ = static_cast<std::byte*>(data);
    }
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        device_(std::exchange(other.device_, -1)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    DeviceBuffer moved(std::move(other));
    std::swap(data_, moved.data_);
    std::swap(size_, moved.size_);
    std::swap(device_, moved.device_);
    return *this;
  }
  DeviceBuffer(DeviceBuffer const&) = delete;
  DeviceBuffer& operator=(DeviceBuffer const&) = delete;
  ~DeviceBuffer() {
    if (data_ != nullptr) {
      static_cast<void>(cudaFree(data_));
    }
  }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// The device the memory is on, -1 for a buffer without.
  [[nodiscard]] int device() const noexcept { return device_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  int device_ = -1;
};

/// Memory of the current device's pool, taken and given back in the order of a stream: no call
/// waits for the device. The stream must outlive the buffer, or `release` it to another one.
/// Other devices and processes cannot reach it unless its pool is told to let them: not for NCCL
/// where ranks are threads of one process.
class StreamBuffer {
 public:
  StreamBuffer() noexcept = default;
  StreamBuffer(std::size_t bytes, StreamView stream) : size_(bytes), stream_(stream) {
    if (bytes != 0) {
      void* data = nullptr;
      check_allocation(cudaMallocAsync(&data, bytes, stream.get()),
                       "allocation of stream-ordered memory", bytes);
      data_ = static_cast<std::byte*>(data);
    }
  }
  StreamBuffer(StreamBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        stream_(other.stream_) {}
  StreamBuffer& operator=(StreamBuffer&& other) noexcept {
    StreamBuffer moved(std::move(other));
    std::swap(data_, moved.data_);
    std::swap(size_, moved.size_);
    std::swap(stream_, moved.stream_);
    return *this;
  }
  StreamBuffer(StreamBuffer const&) = delete;
  StreamBuffer& operator=(StreamBuffer const&) = delete;
  ~StreamBuffer() {
    if (data_ != nullptr) {
      static_cast<void>(cudaFreeAsync(data_, stream_.get()));
    }
  }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  /// Gives the memory back after what `stream` holds so far, instead of in the stream it came from.
  void release(StreamView stream) {
    void* const data = std::exchange(data_, nullptr);
    size_ = 0;
    if (data != nullptr) {
      check(cudaFreeAsync(data, stream.get()), "cudaFreeAsync");
    }
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  StreamView stream_{};
};

namespace detail {

/// Whether two runs of device memory hold the same bytes; through the host, for tests.
[[nodiscard]] inline bool equal_bytes(std::byte const* a, std::byte const* b, std::int64_t bytes) {
  auto const size = static_cast<std::size_t>(bytes);
  std::vector<std::byte> one(size);
  std::vector<std::byte> other(size);
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  check(cudaMemcpy(one.data(), a, size, cudaMemcpyDefault), "cudaMemcpy");
  check(cudaMemcpy(other.data(), b, size, cudaMemcpyDefault), "cudaMemcpy");
  return std::memcmp(one.data(), other.data(), size) == 0;
}

}  // namespace detail

/// Whether kernels can reach pinned memory.
enum class Mapped : unsigned char { no, yes };

/// Pinned host memory: copies to and from every device overlap with the host. Not initialised.
///
/// Cost: allocating pins pages, seconds for tens of GiB. Keep buffers.
class PinnedBuffer {
 public:
  PinnedBuffer() noexcept = default;
  explicit PinnedBuffer(std::size_t bytes, Mapped mapped = Mapped::no) : size_(bytes) {
    if (bytes != 0) {
      void* data = nullptr;
      unsigned const flags =
          cudaHostAllocPortable | (mapped == Mapped::yes ? cudaHostAllocMapped : 0U);
      check_allocation(cudaHostAlloc(&data, bytes, flags), "allocation of pinned host memory",
                       bytes);
      data_ = static_cast<std::byte*>(data);
    }
  }
  PinnedBuffer(PinnedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    PinnedBuffer moved(std::move(other));
    std::swap(data_, moved.data_);
    std::swap(size_, moved.size_);
    return *this;
  }
  PinnedBuffer(PinnedBuffer const&) = delete;
  PinnedBuffer& operator=(PinnedBuffer const&) = delete;
  ~PinnedBuffer() {
    if (data_ != nullptr) {
      static_cast<void>(cudaFreeHost(data_));
    }
  }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  /// The memory as kernels of the current device see it; the buffer must be `Mapped::yes`.
  [[nodiscard]] std::byte* device_data() const {
    void* device = nullptr;
    if (data_ != nullptr) {
      check(cudaHostGetDevicePointer(&device, data_, 0), "cudaHostGetDevicePointer");
    }
    return static_cast<std::byte*>(device);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace rlhf::inline v0::cuda
