/// @file
/// A module's parameters on the host while another module needs the device. Layer: cuda.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/event.hpp>
#include <rlhf/cuda/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <cuda_runtime_api.h>

namespace rlhf::inline v0::cuda {

/// A piece of device memory, one parameter for example.
struct DeviceRange {
  std::byte* data = nullptr;
  std::size_t bytes = 0;
};

/// Where a set of ranges is.
enum class Residence : unsigned char { device, host };

[[nodiscard]] constexpr std::string_view to_string(Residence where) noexcept {
  return where == Residence::device ? "the device" : "the host";
}

/// What an offload or onload moved.
struct OffloadReport {
  std::int64_t ranges = 0;
  std::int64_t bytes = 0;         ///< Of the ranges.
  std::int64_t pinned_bytes = 0;  ///< Host memory held for them, with gaps for alignment.
};

/// Moves a set of device ranges to pinned host memory and back, bit for bit.
///
/// Starts on the device. `offload` and `onload` take turns; the wrong one of them is an error that
/// changes nothing. What happens to the device memory is the caller's: the function objects free it
/// and allocate it again, or leave it in place. The pinned memory is kept between offloads, because
/// pinning takes far longer than copying; `release_host` gives it back.
///
/// Copies run on two streams of the object's own, so that neither the start of a copy nor an
/// allocation leaves the link idle. Works on the device that was current at construction.
/// Cost: bytes over the speed of the host link; a few microseconds a range.
/// Thread safety: one caller per object.
class Offload {
 public:
  using Range = DeviceRange;
  using Stream = StreamView;

  Offload() : device_(current_device()) {}

  [[nodiscard]] Residence residence() const noexcept { return residence_; }

  /// Pins memory for so many bytes ahead of the first `offload`.
  void reserve(std::size_t bytes) {
    expects(residence_ == Residence::device,
            "pinned memory cannot be replaced while it holds parameters; onload first");
    if (host_.size() < bytes) {
      settle();
      host_ = PinnedBuffer();  // first: both together may be more than there is
      host_ = PinnedBuffer(bytes);
    }
  }

  /// Copies `ranges` to the host after everything on `stream` so far, waits, and calls
  /// `free(index, range)` for each of them in order. The wait has no deadline: where work of other
  /// ranks is on `stream`, wait for it with the communicator before.
  ///
  /// When it throws before the first `free`, everything is on the device as before. When `free`
  /// throws, all is on the host, and the ranges from that one on have not been freed.
  /// Errors: invalid_argument on the host already; cuda, with the bytes, where host memory lacks.
  template <class Free>
  OffloadReport offload(std::span<DeviceRange const> ranges, Free&& free, StreamView stream = {}) {
    expect_at(Residence::device, "offload");
    DeviceGuard const guard(device_);
    std::vector<Slot> slots;
    slots.reserve(ranges.size());
    std::size_t total = 0;
    std::size_t bytes = 0;
    for (DeviceRange const& range : ranges) {
      expects(range.data != nullptr || range.bytes == 0,
              "a device range has bytes but no memory (a null pointer)");
      slots.push_back({total, range.bytes});
      total += (range.bytes + alignment - 1) / alignment * alignment;
      bytes += range.bytes;
    }
    reserve(total);
    settle();
    begin_after(stream);
    try {
      for (std::size_t i = 0; i < slots.size(); ++i) {
        copy(host_.data() + slots[i].offset, ranges[i].data, slots[i].bytes, cudaMemcpyDeviceToHost,
             i);
      }
    } catch (...) {
      wait_quietly();  // the caller's memory must not be read any more
      throw;
    }
    settle();
    slots_.swap(slots);
    residence_ = Residence::host;
    bytes_ = bytes;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      free(i, ranges[i]);
    }
    return report();
  }

  /// Calls `allocate(index, bytes)`, which returns the device memory of range `index`, for each
  /// range in order and copies it there. Returns when all copies are enqueued; work enqueued on
  /// `stream` afterwards finds everything in place.
  ///
  /// When it throws, everything is still on the host, no copy is under way, and the next `onload`
  /// asks for memory for every range again: what `allocate` gave out before is still the caller's.
  /// Errors: invalid_argument on the device already; what `allocate` throws; cuda.
  template <class Allocate>
  OffloadReport onload(Allocate&& allocate, StreamView stream = {}) {
    expect_at(Residence::host, "onload");
    DeviceGuard const guard(device_);
    begin_after(stream);
    try {
      for (std::size_t i = 0; i < slots_.size(); ++i) {
        std::byte* const to = allocate(i, slots_[i].bytes);
        if (to == nullptr && slots_[i].bytes != 0) {
          fail(Errc::invalid_argument, text("no memory was given for range ", i, " of ",
                                            slots_[i].bytes, " bytes (a null pointer)"));
        }
        copy(to, host_.data() + slots_[i].offset, slots_[i].bytes, cudaMemcpyHostToDevice, i);
      }
    } catch (...) {
      wait_quietly();
      throw;
    }
    for (cuda::Stream const& lane : lanes_) {
      order(lane, stream, event_);
    }
    OffloadReport const done = report();
    residence_ = Residence::device;
    slots_.clear();
    return done;
  }

  /// Fills device memory with zeros, in the order of `stream`.
  static void zero(std::byte* data, std::size_t bytes, StreamView stream = {}) {
    if (bytes != 0) {
      check(cudaMemsetAsync(data, 0, bytes, stream.get()), "cudaMemsetAsync");
    }
  }
  /// Pinned memory that this object holds, in use or not.
  [[nodiscard]] std::int64_t host_bytes() const noexcept {
    return static_cast<std::int64_t>(host_.size());
  }

  /// Gives the pinned memory back. Only on the device. Waits for copies that are under way.
  void release_host() {
    expect_at(Residence::device, "release_host");
    DeviceGuard const guard(device_);
    settle();
    host_ = PinnedBuffer();
  }

  Offload(Offload const&) = delete;
  Offload& operator=(Offload const&) = delete;
  Offload(Offload&&) noexcept = default;
  Offload& operator=(Offload&&) = delete;
  ~Offload() { wait_quietly(); }

 private:
  static constexpr std::size_t alignment = 256;
  struct Slot {
    std::size_t offset = 0;
    std::size_t bytes = 0;
  };

  void expect_at(Residence needed, char const* call) const {
    if (residence_ != needed) {
      fail(Errc::invalid_argument, text(call, " needs the parameters on ", to_string(needed),
                                        ", they are on ", to_string(residence_)));
    }
  }
  void copy(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind, std::size_t index) {
    if (bytes != 0) {
      check(cudaMemcpyAsync(to, from, bytes, kind, lanes_[index % 2].get()),
            "copy between device and pinned memory");
    }
  }
  void begin_after(StreamView stream) {
    event_.record(stream);
    for (cuda::Stream const& lane : lanes_) {
      event_.wait(lane);
    }
  }
  void settle() {
    for (cuda::Stream const& lane : lanes_) {
      lane.synchronize();
    }
  }
  void wait_quietly() noexcept {
    for (cuda::Stream const& lane : lanes_) {
      if (lane.get() != nullptr) {
        static_cast<void>(cudaStreamSynchronize(lane.get()));
      }
    }
  }
  [[nodiscard]] OffloadReport report() const noexcept {
    return {static_cast<std::int64_t>(slots_.size()), static_cast<std::int64_t>(bytes_),
            static_cast<std::int64_t>(host_.size())};
  }

  PinnedBuffer host_;
  std::vector<Slot> slots_;
  cuda::Stream lanes_[2];
  Event event_;
  std::size_t bytes_ = 0;
  int device_;
  Residence residence_ = Residence::device;
};

}  // namespace rlhf::inline v0::cuda
