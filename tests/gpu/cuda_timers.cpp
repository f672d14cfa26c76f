// Timers by events and the watch of memory, with what the runtime layer makes of them.
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/memory_report.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/cuda/timer.hpp>
#include <rlhf/runtime/memory_report.hpp>
#include <rlhf/runtime/timers.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

namespace cuda = rlhf::cuda;
namespace runtime = rlhf::runtime;

TEST_CASE("device timers: intervals of a stream, nested, read when they have ended") {
  constexpr std::size_t bytes = std::size_t{256} << 20;
  cuda::DeviceBuffer const memory(bytes);
  cuda::Stream const stream;
  cuda::DeviceTimers device(8);
  runtime::Timers timers;
  auto const add = [&](std::string_view name, std::int64_t nanoseconds) {
    timers.add(name, nanoseconds);
  };
  for (int step = 0; step < 3; ++step) {
    auto const outer = device.scope("device/step", stream);
    for (int i = 0; i < 20; ++i) {
      cuda::check(cudaMemsetAsync(memory.data(), i, bytes, cuda::StreamView(stream).get()),
                  "cudaMemsetAsync");
    }
    {
      auto const inner = device.scope("device/short", stream);
      cuda::check(cudaMemsetAsync(memory.data(), 1, 16, cuda::StreamView(stream).get()),
                  "cudaMemsetAsync");
    }
    device.collect(add);
    CHECK(device.pending() >= 2);  // the outer scope is open, and the inner one stands behind it
  }
  device.finish(add);
  CHECK(device.pending() == 0);
  CHECK(device.missed() == 0);
  runtime::Timing const step = timers.at("device/step");
  runtime::Timing const inner = timers.at("device/short");
  CHECK(step.count == 3);
  CHECK(inner.count == 3);
  CHECK(inner.total < step.total);
  CHECK(step.total > 3 * 20 * 20'000);  // 256 MiB take longer than 20 us on any device there is
}

TEST_CASE("device timers: what finds no pair of events is counted") {
  cuda::Stream const stream;
  cuda::DeviceTimers device(2);
  for (int i = 0; i < 5; ++i) {
    auto const scope = device.scope("a", stream);
  }
  CHECK(device.pending() == 2);
  CHECK(device.missed() == 3);
  int seen = 0;
  device.finish([&](std::string_view, std::int64_t) { ++seen; });
  CHECK(seen == 2);
}

TEST_CASE("device memory: what is allocated is seen, and stays in the peak") {
  constexpr std::int64_t bytes = std::int64_t{512} << 20;
  cuda::MemoryWatch watch;
  std::int64_t const before = watch.used();
  {
    cuda::DeviceBuffer const memory(static_cast<std::size_t>(bytes));
    watch.sample();
    CHECK(watch.used() >= before + bytes);
  }
  watch.sample();
  CHECK(watch.used() < before + bytes);
  CHECK(watch.peak() >= before + bytes);
  runtime::MemoryReport report;
  watch.add_to(report);
  CHECK(report.bytes("device/peak") == watch.peak());
  CHECK(report.bytes("device/total") == watch.total());
  watch.reset_peak();
  CHECK(watch.peak() < before + bytes);
}
