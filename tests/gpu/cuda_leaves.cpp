// Errors, devices, streams, events and buffers of cuda/.
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/error.hpp>
#include <rlhf/cuda/event.hpp>
#include <rlhf/cuda/stream.hpp>

#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gpu/worlds.hpp"

namespace cuda = rlhf::cuda;

TEST_CASE("a failure carries CUDA's text and code and does not stay") {
  gpu::Outcome const outcome =
      gpu::outcome_of([] { cuda::check(cudaSetDevice(12'345), "choice of a device"); });
  CHECK(outcome.code == rlhf::Errc::cuda);
  CHECK(outcome.says("choice of a device"));
  CHECK(outcome.says("cudaErrorInvalidDevice"));
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("too little memory: bytes, device and what is free") {
  std::size_t const bytes = std::size_t{1} << 50;
  try {
    cuda::DeviceBuffer const buffer(bytes);
    FAIL("there is no device with a PiB");
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::cuda);
    CHECK(error.native_code() == static_cast<int>(cudaErrorMemoryAllocation));
    CHECK(std::string(error.what()).find(std::to_string(bytes)) != std::string::npos);
    CHECK(std::string(error.what()).find("device 0") != std::string::npos);
  }
  CHECK(cudaPeekAtLastError() == cudaSuccess);
  CHECK(
      gpu::outcome_of([&] { cuda::StreamBuffer const buffer(bytes, cuda::StreamView()); }).failed);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("devices") {
  int const count = cuda::device_count();
  CHECK(count > 0);
  CHECK(cuda::multiprocessors() > 0);
  CHECK(!cuda::device_name().empty());
  cuda::DeviceMemory const memory = cuda::device_memory();
  CHECK(memory.free > 0);
  CHECK(memory.free <= memory.total);
  CHECK(cuda::can_access_peer(0, 0));
  cuda::enable_peer_access(0, 0);
  int const before = cuda::current_device();
  {
    cuda::DeviceGuard const guard(count - 1);
    CHECK(cuda::current_device() == count - 1);
  }
  CHECK(cuda::current_device() == before);
  if (gpu::has_devices(2) && cuda::can_access_peer(0, 1)) {
    cuda::enable_peer_access(0, 1);
    cuda::enable_peer_access(0, 1);
    CHECK(cudaPeekAtLastError() == cudaSuccess);
  }
  CHECK(gpu::outcome_of([&] { cuda::expect_devices(count + 1); }).says("CUDA_VISIBLE_DEVICES"));
}

TEST_CASE("copies through every kind of buffer, ordered by events") {
  std::size_t const bytes = 1 << 20;
  cuda::Stream up;
  cuda::Stream down(cuda::Priority::high);
  cuda::PinnedBuffer const from(bytes);
  cuda::PinnedBuffer const to(bytes, cuda::Mapped::yes);
  cuda::DeviceBuffer const device(bytes);
  cuda::StreamBuffer middle(bytes, down);
  CHECK(to.device_data() != nullptr);
  CHECK(device.device() == cuda::current_device());
  cuda::Event copied;
  cuda::Event begin(cuda::Timing::on);
  cuda::Event end(cuda::Timing::on);
  CHECK(copied.done());  // never recorded
  for (int round = 0; round < 3; ++round) {
    std::memset(from.data(), 17 + round, bytes);
    begin.record(up);
    cuda::check(
        cudaMemcpyAsync(device.data(), from.data(), bytes, cudaMemcpyHostToDevice, up.get()), "up");
    cuda::order(up, down, copied);
    cuda::check(
        cudaMemcpyAsync(middle.data(), device.data(), bytes, cudaMemcpyDeviceToDevice, down.get()),
        "across");
    cuda::check(
        cudaMemcpyAsync(to.data(), middle.data(), bytes, cudaMemcpyDeviceToHost, down.get()),
        "down");
    end.record(down);
    end.synchronize();
    CHECK(end.done());
    CHECK(elapsed_ms(begin, end) >= 0);
    CHECK(std::memcmp(from.data(), to.data(), bytes) == 0);
  }
  middle.release(down);
  CHECK(middle.empty());
  down.synchronize();
  CHECK(down.done());
  CHECK(!down.view().capturing());
}

TEST_CASE("owners move, and empty ones hold nothing") {
  cuda::DeviceBuffer first(256);
  std::byte* const memory = first.data();
  cuda::DeviceBuffer second(std::move(first));
  CHECK(second.data() == memory);
  first = cuda::DeviceBuffer(512);
  first = std::move(second);
  CHECK(first.data() == memory);
  CHECK(first.size() == 256);
  cuda::DeviceBuffer const none(0);
  CHECK(none.data() == nullptr);
  CHECK(none.empty());
  cuda::PinnedBuffer pinned(64);
  cuda::PinnedBuffer const taken(std::move(pinned));
  CHECK(taken.size() == 64);
  cuda::Stream stream;
  cuda::Stream moved(std::move(stream));
  moved = cuda::Stream();
  CHECK(moved.done());
  cuda::Event event;
  event = cuda::Event(cuda::Timing::on);
  event.record(moved);
  event.synchronize();
}
