/// @file
/// Events: points in a stream that other streams and the host wait for. Layer: cuda.
#pragma once

#include <rlhf/cuda/error.hpp>
#include <rlhf/cuda/stream.hpp>

#include <utility>

#include <cuda_runtime_api.h>

namespace rlhf::inline v0::cuda {

/// Whether an event takes the time when it is reached. Events without are cheaper.
enum class Timing : unsigned char { off, on };

/// An event of the current device. One that was never recorded counts as reached.
class Event {
 public:
  explicit Event(Timing timing = Timing::off) {
    check(cudaEventCreateWithFlags(
              &event_, timing == Timing::on ? cudaEventDefault : cudaEventDisableTiming),
          "cudaEventCreateWithFlags");
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  Event(Event const&) = delete;
  Event& operator=(Event const&) = delete;
  ~Event() {
    if (event_ != nullptr) {
      static_cast<void>(cudaEventDestroy(event_));
    }
  }

  [[nodiscard]] cudaEvent_t get() const noexcept { return event_; }

  /// The event is reached when everything enqueued on `stream` so far is done. The stream must be
  /// of the event's device.
  void record(StreamView stream = {}) {
    check(cudaEventRecord(event_, stream.get()), "cudaEventRecord");
  }
  /// What is enqueued on `stream` from now on starts after the event as it was recorded last. The
  /// stream may be of any device.
  void wait(StreamView stream) const {
    check(cudaStreamWaitEvent(stream.get(), event_, 0), "cudaStreamWaitEvent");
  }
  /// Blocks the host until the event is reached.
  void synchronize() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
  [[nodiscard]] bool done() const {
    cudaError_t const status = cudaEventQuery(event_);
    if (status == cudaErrorNotReady) {
      forget(status);
      return false;
    }
    check(status, "cudaEventQuery");
    return true;
  }

  /// Milliseconds from `begin` to `end`, both with `Timing::on` and reached.
  [[nodiscard]] friend float elapsed_ms(Event const& begin, Event const& end) {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.event_, end.event_), "cudaEventElapsedTime");
    return milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// What is enqueued on `after` from now on starts when everything enqueued on `before` so far is
/// done. `event` carries the order and may be used again at once.
inline void order(StreamView before, StreamView after, Event& event) {
  event.record(before);
  event.wait(after);
}

}  // namespace rlhf::inline v0::cuda
