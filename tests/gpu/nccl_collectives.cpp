// Every operation of nccl::Communicator on device memory and on host memory against comm::Local.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/nccl/communicator.hpp>
#include <rlhf/tensor/convert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include "gpu/worlds.hpp"

namespace {

using rlhf::DType;
using rlhf::comm::Reduce;
using Memory = std::vector<std::byte>;
using Memories = std::vector<Memory>;

static_assert(rlhf::comm::Communicator<rlhf::nccl::Communicator>);

constexpr DType dtypes[] = {DType::f32, DType::bf16, DType::f16, DType::f64,
                            DType::i64, DType::i32,  DType::u8};
constexpr std::int64_t counts[] = {0, 1, 7, 1024, 100'003};
constexpr Reduce reductions[] = {Reduce::sum, Reduce::max, Reduce::min};

std::uint64_t noise(std::uint64_t a, std::uint64_t b) {
  return rlhf::mix64(a * 0x9e3779b97f4a7c15ULL + b);
}

template <class T>
void put(Memory& memory, std::int64_t i, T value) {
  std::memcpy(memory.data() + static_cast<std::size_t>(i) * sizeof(T), &value, sizeof value);
}

/// Whole numbers from 0 to 15: every type holds their sums exactly, so the order of a sum does not
/// matter.
Memory numbers(std::uint64_t seed, std::int64_t count, DType dtype) {
  Memory memory(static_cast<std::size_t>(count * size_of(dtype)));
  for (std::int64_t i = 0; i < count; ++i) {
    int const value = static_cast<int>(noise(seed, static_cast<std::uint64_t>(i)) % 16);
    switch (dtype) {
      case DType::f32:
        put(memory, i, static_cast<float>(value));
        break;
      case DType::bf16:
        put(memory, i, rlhf::to_bfloat16(static_cast<float>(value)));
        break;
      case DType::f16:
        put(memory, i, rlhf::to_float16(static_cast<float>(value)));
        break;
      case DType::f64:
        put(memory, i, static_cast<double>(value));
        break;
      case DType::i64:
        put(memory, i, static_cast<std::int64_t>(value));
        break;
      case DType::i32:
        put(memory, i, static_cast<std::int32_t>(value));
        break;
      case DType::u8:
        put(memory, i, static_cast<std::uint8_t>(value));
        break;
    }
  }
  return memory;
}
/// Any bits: for operations that only move.
Memory bits(std::uint64_t seed, std::int64_t count, DType dtype) {
  Memory memory(static_cast<std::size_t>(count * size_of(dtype)));
  for (std::size_t i = 0; i < memory.size(); ++i) {
    memory[i] = static_cast<std::byte>(noise(seed, i) >> 40);
  }
  return memory;
}

/// Calls with host memory: what `Local` takes, and NCCL too.
template <class C>
struct OnHost {
  C& comm;
  Memories results{};

  template <class Call>
  void apart(Memory const& in, std::size_t out_bytes, Call call) {
    Memory out(out_bytes, std::byte{0xee});
    call(in.data(), out.data(), typename C::Stream{});
    results.push_back(out);
  }
  template <class Call>
  void in_place(Memory memory, Call call) {
    call(memory.data(), typename C::Stream{});
    results.push_back(memory);
  }
};

/// The same calls with device memory on a stream of its own. The memory is allocated once: freeing
/// some while another rank's kernel waits for this rank could wait for that kernel.
struct OnDevice {
  explicit OnDevice(rlhf::nccl::Communicator& communicator) : comm(communicator) {}

  rlhf::nccl::Communicator& comm;
  rlhf::cuda::Stream stream{};
  rlhf::cuda::DeviceBuffer from{std::size_t{16} << 20};
  rlhf::cuda::DeviceBuffer to{std::size_t{16} << 20};
  Memories results{};

  void up(rlhf::cuda::DeviceBuffer const& buffer, Memory const& memory) {
    rlhf::expects(memory.size() <= buffer.size(), "the test's memory must hold every call");
    if (!memory.empty()) {
      rlhf::cuda::check(cudaMemcpyAsync(buffer.data(), memory.data(), memory.size(),
                                        cudaMemcpyHostToDevice, stream.get()),
                        "up");
    }
  }
  void down(Memory& memory, rlhf::cuda::DeviceBuffer const& buffer) {
    comm.wait(stream);
    if (!memory.empty()) {
      rlhf::cuda::check(
          cudaMemcpy(memory.data(), buffer.data(), memory.size(), cudaMemcpyDeviceToHost), "down");
    }
    results.push_back(memory);
  }

  template <class Call>
  void apart(Memory const& in, std::size_t out_bytes, Call call) {
    Memory out(out_bytes, std::byte{0xee});
    up(from, in);
    up(to, out);
    call(static_cast<std::byte const*>(from.data()), to.data(), stream.view());
    down(out, to);
  }
  template <class Call>
  void in_place(Memory memory, Call call) {
    up(to, memory);
    call(to.data(), stream.view());
    down(memory, to);
  }
};

std::byte* plus(void* memory, std::int64_t bytes) {
  return static_cast<std::byte*>(memory) + bytes;
}
std::byte const* plus(void const* memory, std::int64_t bytes) {
  return static_cast<std::byte const*>(memory) + bytes;
}

/// All operations one after the other; the same on every kind of communicator and memory.
template <class Where>
Memories everything(Where&& where) {
  auto& comm = where.comm;
  int const size = comm.size();
  int const rank = comm.rank();
  std::uint64_t seed = static_cast<std::uint64_t>(rank) * 1'000;
  for (DType const dtype : dtypes) {
    for (std::int64_t const n : counts) {
      std::int64_t const block = n * size_of(dtype);
      auto const bytes = static_cast<std::size_t>(block);
      for (Reduce const op : reductions) {
        where.apart(numbers(++seed, n, dtype), bytes, [&](auto* in, auto* out, auto stream) {
          comm.all_reduce(in, out, n, dtype, op, stream);
        });
        where.in_place(numbers(++seed, n, dtype), [&](auto* data, auto stream) {
          comm.all_reduce(data, data, n, dtype, op, stream);
        });
        where.apart(numbers(++seed, n * size, dtype), bytes, [&](auto* in, auto* out, auto stream) {
          comm.reduce_scatter(in, out, n, dtype, op, stream);
        });
      }
      for (int root = 0; root < size; ++root) {
        where.in_place(bits(++seed, n, dtype), [&](auto* data, auto stream) {
          comm.broadcast(data, n, dtype, root, stream);
        });
      }
      auto const whole = bytes * static_cast<std::size_t>(size);
      where.apart(bits(++seed, n, dtype), whole, [&](auto* in, auto* out, auto stream) {
        comm.all_gather(in, out, n, dtype, stream);
      });
      where.in_place(bits(++seed, n * size, dtype), [&](auto* data, auto stream) {
        comm.all_gather(plus(data, rank * block), data, n, dtype, stream);
      });
      where.apart(bits(++seed, n * size, dtype), whole, [&](auto* in, auto* out, auto stream) {
        comm.all_to_all(in, out, n, dtype, stream);
      });
      // To the next rank, and blocks of other lengths to everybody, itself too, in nested groups.
      where.apart(bits(++seed, n, dtype), bytes, [&](auto* in, auto* out, auto stream) {
        comm.group_start();
        comm.send(in, n, dtype, (rank + 1) % size, stream);
        comm.recv(out, n, dtype, (rank + size - 1) % size, stream);
        comm.group_end(stream);
      });
      where.apart(bits(++seed, n * size, dtype), whole, [&](auto* in, auto* out, auto stream) {
        comm.group_start();
        for (int peer = 0; peer < size; ++peer) {
          comm.group_start();
          comm.recv(plus(out, peer * block), (peer + rank) % 2 == 0 ? n : n / 2, dtype, peer,
                    stream);
          comm.send(plus(in, peer * block), (peer + rank) % 2 == 0 ? n : n / 2, dtype, peer,
                    stream);
          comm.group_end(stream);
        }
        comm.group_end(stream);
      });
      comm.barrier();
    }
  }
  return where.results;
}

std::vector<Memories> of_all_ranks(int size) {
  return std::vector<Memories>(static_cast<std::size_t>(size));
}

}  // namespace

TEST_CASE("every operation gives what Local gives, on device and on host memory") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    auto expected = of_all_ranks(size);
    rlhf::comm::run_local(size, [&](rlhf::comm::Local comm) {
      expected[static_cast<std::size_t>(comm.rank())] = everything(OnHost<rlhf::comm::Local>{comm});
    });
    auto on_device = of_all_ranks(size);
    auto on_host = of_all_ranks(size);
    gpu::WorldEnd const end = gpu::run_world(size, [&](rlhf::nccl::Communicator& comm) {
      auto const me = static_cast<std::size_t>(comm.rank());
      OnDevice device(comm);  // its memory is freed when no rank calls any more
      on_device[me] = everything(device);
      on_host[me] = everything(OnHost<rlhf::nccl::Communicator>{comm});
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
    for (std::size_t r = 0; r < expected.size(); ++r) {
      REQUIRE(on_device[r].size() == expected[r].size());
      REQUIRE(on_host[r].size() == expected[r].size());
      std::size_t wrong_on_device = 0;
      std::size_t wrong_on_host = 0;
      for (std::size_t i = 0; i < expected[r].size(); ++i) {
        wrong_on_device += on_device[r][i] == expected[r][i] ? 0U : 1U;
        wrong_on_host += on_host[r][i] == expected[r][i] ? 0U : 1U;
      }
      CHECK(wrong_on_device == 0);
      CHECK(wrong_on_host == 0);
    }
  }
}

TEST_CASE(
    "a group mixes collectives, host and device memory, and gives its stream to those without") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    gpu::WorldEnd const end = gpu::run_world(size, [&](rlhf::nccl::Communicator& comm) {
      int const rank = comm.rank();
      rlhf::cuda::Stream const stream;
      float on_host = static_cast<float>(rank + 1);
      rlhf::cuda::DeviceBuffer const device(sizeof(float));
      float const first = static_cast<float>(10 * (rank + 1));
      rlhf::cuda::check(cudaMemcpyAsync(device.data(), &first, sizeof first, cudaMemcpyHostToDevice,
                                        stream.get()),
                        "up");
      std::int32_t got = -1;
      std::int32_t const mine = 100 + rank;
      comm.group_start();
      comm.all_reduce(&on_host, &on_host, 1, DType::f32, Reduce::sum);
      comm.all_reduce(device.data(), device.data(), 1, DType::f32, Reduce::max, stream);
      comm.send(&mine, 1, DType::i32, (rank + 1) % size);
      comm.recv(&got, 1, DType::i32, (rank + size - 1) % size);
      comm.group_end(stream);
      float on_device = 0;
      comm.wait(stream);
      rlhf::cuda::check(
          cudaMemcpy(&on_device, device.data(), sizeof on_device, cudaMemcpyDeviceToHost), "down");
      CHECK(on_host == static_cast<float>(size * (size + 1) / 2));
      CHECK(on_device == static_cast<float>(10 * size));
      CHECK(got == 100 + (rank + size - 1) % size);
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}

TEST_CASE("a cancelled group sends nothing") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    gpu::WorldEnd const end = gpu::run_world(size, [&](rlhf::nccl::Communicator& comm) {
      std::int32_t value = 1;
      comm.group_start();
      comm.group_start();
      comm.send(&value, 1, DType::i32, 0);
      comm.group_cancel();
      CHECK_THROWS_AS(comm.group_end(), rlhf::Error);
      comm.all_reduce(&value, &value, 1, DType::i32, Reduce::sum);
      CHECK(value == size);
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}

TEST_CASE("host memory larger than any before, and smaller again") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    gpu::WorldEnd const end = gpu::run_world(size, [&](rlhf::nccl::Communicator& comm) {
      for (std::int64_t const n : {10, 3'000'000, 20, 1 << 20, 5'000'001}) {
        Memory memory = bits(comm.rank() == size - 1 ? 5 : 6, n, DType::u8);
        comm.broadcast(memory.data(), n, DType::u8, size - 1);
        CHECK(memory == bits(5, n, DType::u8));
      }
      constexpr std::int64_t lengths[] = {700'000, 1'500'000, 3, 1 << 20};
      int const next = (comm.rank() + 1) % size;
      int const before = (comm.rank() + size - 1) % size;
      Memories sent;
      Memories got;
      for (std::int64_t const n : lengths) {
        sent.push_back(bits(static_cast<std::uint64_t>(n + comm.rank()), n, DType::u8));
        got.emplace_back(static_cast<std::size_t>(n));
      }
      comm.group_start();
      for (std::size_t i = 0; i < sent.size(); ++i) {
        comm.send(sent[i].data(), std::ssize(sent[i]), DType::u8, next);
        comm.recv(got[i].data(), std::ssize(got[i]), DType::u8, before);
      }
      comm.group_end();
      for (std::size_t i = 0; i < sent.size(); ++i) {
        CHECK(got[i] ==
              bits(static_cast<std::uint64_t>(lengths[i] + before), lengths[i], DType::u8));
      }
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}
