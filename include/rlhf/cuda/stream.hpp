/// @file
/// Streams: a view that calls take, and an owner. Layer: cuda.
#pragma once

#include <rlhf/cuda/error.hpp>

#include <utility>

#include <cuda_runtime_api.h>

namespace rlhf::inline v0::cuda {

/// A stream that somebody else owns. The default is the legacy default stream (0).
///
/// Converts from `cudaStream_t`, so that calls which take a view take a stream of any framework.
class StreamView {
 public:
  constexpr StreamView() noexcept = default;
  constexpr StreamView(cudaStream_t stream) noexcept : stream_(stream) {}  // NOLINT: implicit

  [[nodiscard]] constexpr cudaStream_t get() const noexcept { return stream_; }
  constexpr bool operator==(StreamView const&) const noexcept = default;

  /// Blocks until everything that was enqueued is done. Without a deadline: where work of other
  /// ranks is on the stream, wait with `nccl::Communicator::wait`.
  void synchronize() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

  /// Whether everything that was enqueued is done. Errors: cuda where the work failed.
  [[nodiscard]] bool done() const {
    cudaError_t const status = cudaStreamQuery(stream_);
    if (status == cudaErrorNotReady) {
      forget(status);
      return false;
    }
    check(status, "cudaStreamQuery");
    return true;
  }

  /// Whether a graph is being captured from this stream, so that the host may not wait for it.
  [[nodiscard]] bool capturing() const {
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    cudaError_t const status = cudaStreamIsCapturing(stream_, &capture);
    if (status == cudaErrorStreamCaptureImplicit) {
      // The legacy stream while another stream of this thread captures: no call on it is allowed.
      forget(status);
      return true;
    }
    check(status, "cudaStreamIsCapturing");
    return capture != cudaStreamCaptureStatusNone;
  }

 private:
  cudaStream_t stream_ = nullptr;
};

/// How the device orders work of several streams.
enum class Priority : unsigned char { normal, high };

/// A stream of the current device that does not wait for the legacy default stream.
///
/// Destroying it does not wait: CUDA frees it when its work is done. Thread safety: as CUDA's own.
class Stream {
 public:
  explicit Stream(Priority priority = Priority::normal) {
    int least = 0;
    int greatest = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
    check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking,
                                       priority == Priority::high ? greatest : least),
          "cudaStreamCreateWithPriority");
  }
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;
  ~Stream() {
    if (stream_ != nullptr) {
      static_cast<void>(cudaStreamDestroy(stream_));
    }
  }

  [[nodiscard]] cudaStream_t get() const noexcept { return stream_; }
  [[nodiscard]] StreamView view() const noexcept { return stream_; }
  operator StreamView() const noexcept { return stream_; }  // NOLINT: implicit
  void synchronize() const { view().synchronize(); }
  [[nodiscard]] bool done() const { return view().done(); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace rlhf::inline v0::cuda
