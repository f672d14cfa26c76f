// Offload and onload of device memory: bit for bit, in turns, with the caller's own memory.
#include <rlhf/core/hash.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/offload.hpp>
#include <rlhf/cuda/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "gpu/worlds.hpp"

namespace cuda = rlhf::cuda;

namespace {

using Memory = std::vector<std::byte>;

constexpr std::size_t sizes[] = {1, 0, 255, 256, 4'099, 3 << 20, 2, 17 << 20, 64};

/// A module's parameters: memory on the device and what is in it.
struct Parameters {
  std::vector<cuda::DeviceBuffer> buffers;
  std::vector<Memory> contents;

  explicit Parameters(std::uint64_t seed) {
    for (std::size_t const size : sizes) {
      buffers.emplace_back(size);
      contents.emplace_back(size);
    }
    fill(seed);
  }
  void fill(std::uint64_t seed) {
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      for (std::size_t j = 0; j < contents[i].size(); ++j) {
        contents[i][j] = static_cast<std::byte>(rlhf::mix64(seed + 1'000'003 * i + j) >> 13);
      }
      if (!contents[i].empty()) {
        cuda::check(cudaMemcpy(buffers[i].data(), contents[i].data(), contents[i].size(),
                               cudaMemcpyHostToDevice),
                    "fill");
      }
    }
  }
  [[nodiscard]] std::vector<cuda::DeviceRange> ranges() const {
    std::vector<cuda::DeviceRange> out;
    for (cuda::DeviceBuffer const& buffer : buffers) {
      out.push_back({buffer.data(), buffer.size()});
    }
    return out;
  }
  [[nodiscard]] std::size_t wrong() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      Memory got(buffers[i].size());
      if (!got.empty()) {
        cuda::check(cudaMemcpy(got.data(), buffers[i].data(), got.size(), cudaMemcpyDeviceToHost),
                    "read");
      }
      count += got == contents[i] ? 0U : 1U;
    }
    return count;
  }
  [[nodiscard]] std::int64_t bytes() const {
    std::size_t sum = 0;
    for (Memory const& memory : contents) {
      sum += memory.size();
    }
    return static_cast<std::int64_t>(sum);
  }
};

}  // namespace

TEST_CASE("parameters come back bit for bit into new memory") {
  Parameters parameters(1);
  cuda::Offload offload;
  cuda::Stream const stream;
  for (std::uint64_t round = 0; round < 3; ++round) {
    CHECK(offload.residence() == cuda::Residence::device);
    std::size_t freed = 0;
    auto const ranges = parameters.ranges();
    cuda::OffloadReport const out = offload.offload(
        ranges,
        [&](std::size_t i, cuda::DeviceRange const& range) {
          CHECK(i == freed++);
          CHECK(range.data == parameters.buffers[i].data());
          parameters.buffers[i] = cuda::DeviceBuffer();
        },
        stream);
    CHECK(freed == ranges.size());
    CHECK(out.bytes == parameters.bytes());
    CHECK(out.ranges == static_cast<std::int64_t>(ranges.size()));
    CHECK(out.pinned_bytes >= out.bytes);
    CHECK(offload.residence() == cuda::Residence::host);
    cuda::DeviceBuffer other(8 << 20);  // somebody else writes where the parameters were
    cuda::check(cudaMemsetAsync(other.data(), 0x5a, other.size(), stream.get()), "memset");
    cuda::OffloadReport const in = offload.onload(
        [&](std::size_t i, std::size_t bytes) {
          parameters.buffers[i] = cuda::DeviceBuffer(bytes);
          return parameters.buffers[i].data();
        },
        stream);
    CHECK(in.bytes == out.bytes);
    stream.synchronize();
    CHECK(parameters.wrong() == 0);
    parameters.fill(round + 7);
  }
  offload.release_host();
}

TEST_CASE("device memory may stay where it is") {
  Parameters parameters(2);
  cuda::Offload offload;
  auto const ranges = parameters.ranges();
  offload.offload(ranges, [](std::size_t, cuda::DeviceRange const&) {});
  for (cuda::DeviceRange const& range : ranges) {
    if (range.bytes != 0) {
      cuda::check(cudaMemset(range.data, 0, range.bytes), "memset");
    }
  }
  offload.onload([&](std::size_t i, std::size_t) { return ranges[i].data; });
  cuda::StreamView().synchronize();
  CHECK(parameters.wrong() == 0);
}

TEST_CASE("the wrong order is refused and changes nothing") {
  Parameters parameters(3);
  cuda::Offload offload;
  auto const ranges = parameters.ranges();
  auto const keep = [](std::size_t, cuda::DeviceRange const&) {};
  auto const same = [&](std::size_t i, std::size_t) { return ranges[i].data; };
  gpu::Outcome const early = gpu::outcome_of([&] { offload.onload(same); });
  CHECK(early.code == rlhf::Errc::invalid_argument);
  CHECK(early.says("onload needs the parameters on the host, they are on the device"));
  offload.offload(ranges, keep);
  CHECK(gpu::outcome_of([&] { offload.offload(ranges, keep); }).says("they are on the host"));
  CHECK(gpu::outcome_of([&] { offload.release_host(); }).failed);
  CHECK(gpu::outcome_of([&] { offload.reserve(1 << 30); }).failed);
  offload.onload(same);
  cuda::StreamView().synchronize();
  CHECK(parameters.wrong() == 0);
}

TEST_CASE("an allocation that fails leaves everything on the host, and onload can be tried again") {
  Parameters parameters(4);
  cuda::Offload offload;
  auto const ranges = parameters.ranges();
  offload.offload(ranges, [](std::size_t, cuda::DeviceRange const&) {});
  CHECK_THROWS_AS(offload.onload([&](std::size_t i, std::size_t) {
    if (i == 6) {
      throw std::runtime_error("full");
    }
    return ranges[i].data;
  }),
                  std::runtime_error);
  CHECK(offload.residence() == cuda::Residence::host);
  CHECK(gpu::outcome_of([&] {
          offload.onload([](std::size_t, std::size_t) { return static_cast<std::byte*>(nullptr); });
        }).says("range 0 of 1 bytes"));
  offload.onload([&](std::size_t i, std::size_t) { return ranges[i].data; });
  cuda::StreamView().synchronize();
  CHECK(parameters.wrong() == 0);
}
