/// @file
/// How much memory of a device is in use, and was at most. Layer: cuda.
#pragma once

#include <rlhf/cuda/device.hpp>

#include <cstdint>

namespace rlhf::inline v0::cuda {

/// Watches the memory of the current device, by looking at it when asked.
///
///     rlhf::cuda::MemoryWatch watch;
///     ... watch.sample(); ...                    // after steps that need much
///     watch.add_to(report);                      // a runtime::MemoryReport
///
/// What is seen is the device's: of all processes, and of allocators that keep what they freed.
/// A peak between two samples is not seen. Cost: a call of the driver a sample, some microseconds.
/// Thread safety: one caller.
class MemoryWatch {
 public:
  /// Takes the first sample. Errors: cuda.
  MemoryWatch() { sample(); }

  /// Errors: cuda.
  void sample() {
    cuda::DeviceMemory const memory = device_memory();
    total_ = static_cast<std::int64_t>(memory.total);
    used_ = total_ - static_cast<std::int64_t>(memory.free);
    peak_ = used_ > peak_ ? used_ : peak_;
  }
  /// The peak counts from here.
  void reset_peak() {
    peak_ = 0;
    sample();
  }

  /// Bytes in use at the last sample.
  [[nodiscard]] std::int64_t used() const noexcept { return used_; }
  /// The most that a sample has seen.
  [[nodiscard]] std::int64_t peak() const noexcept { return peak_; }
  [[nodiscard]] std::int64_t total() const noexcept { return total_; }

  /// Calls `report.add(name, bytes)` for `device/used`, `device/peak` and `device/total`.
  template <class Report>
  void add_to(Report& report) const {
    report.add("device/used", used_);
    report.add("device/peak", peak_);
    report.add("device/total", total_);
  }

 private:
  std::int64_t used_ = 0;
  std::int64_t peak_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace rlhf::inline v0::cuda
