// How an nccl::Communicator fails: in time, by name, and for good.
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/nccl/world.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gpu/worlds.hpp"
#include <unistd.h>

namespace {

using rlhf::DType;
using rlhf::Errc;
using rlhf::Milliseconds;
using rlhf::comm::Reduce;
using rlhf::nccl::Communicator;

/// Blocks a stream until `open` is set.
struct Gate {
  std::atomic<bool> open{false};

  static void CUDART_CB wait(void* self) {
    while (!static_cast<Gate*>(self)->open.load()) {
      gpu::sleep_ms(1);
    }
  }
  void close(rlhf::cuda::StreamView stream) {
    rlhf::cuda::check(cudaLaunchHostFunc(stream.get(), &Gate::wait, this), "cudaLaunchHostFunc");
  }
};

}  // namespace

TEST_CASE("wrong arguments are refused and break nothing") {
  gpu::WorldEnd const end = gpu::run_world(1, [&](Communicator& comm) {
    float value = 3;
    auto const refused = [&](auto body) {
      gpu::Outcome const outcome = gpu::outcome_of(body);
      CHECK(outcome.library_error);
      CHECK(outcome.code == Errc::invalid_argument);
    };
    refused([&] { comm.broadcast(&value, 1, DType::f32, 1); });
    refused([&] { comm.send(&value, 1, DType::f32, -1); });
    refused([&] { comm.all_reduce(&value, &value, -1, DType::f32, Reduce::sum); });
    refused([&] { comm.all_to_all(&value, &value, 1, DType::f32); });
    refused([&] { comm.group_end(); });
    refused([&] { static_cast<void>(comm.world_rank(1)); });
    comm.group_start();
    refused([&] { comm.barrier(); });
    refused([&] { static_cast<void>(comm.split(0, 0)); });
    comm.group_cancel();
    comm.all_reduce(&value, &value, 1, DType::f32, Reduce::sum);
    CHECK(value == 3);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("an empty communicator has no ranks and refuses every call") {
  Communicator empty;
  CHECK(empty.size() == 0);
  CHECK(empty.device() == -1);
  CHECK(gpu::outcome_of([&] { empty.barrier(); }).says("no_color"));
  empty.group_cancel();
  empty.abort("nothing happens");
  empty.finalize();
}

TEST_CASE("a stream that does not end is noticed at the deadline") {
  Gate gate;
  gpu::WorldEnd const end = gpu::run_world(1, Milliseconds{300}, [&](Communicator& comm) {
    rlhf::cuda::Stream const stream;
    gate.close(stream);
    gpu::Outcome const outcome = gpu::outcome_of([&] { comm.wait(stream); });
    gate.open = true;
    CHECK(outcome.code == Errc::timeout);
    CHECK(outcome.says("wait for a stream"));
    CHECK(outcome.says("300 ms"));
    float value = 1;
    gpu::Outcome const later =
        gpu::outcome_of([&] { comm.all_reduce(&value, &value, 1, DType::f32, Reduce::sum); });
    CHECK(later.code == Errc::aborted);
    CHECK(later.says("stopped because"));
    stream.synchronize();
  });
  CHECK(end.world.code == Errc::timeout);
  CHECK(end.seconds < gpu::soon_seconds);
}

TEST_CASE("a condition is waited for like a stream") {
  gpu::WorldEnd const end = gpu::run_world(1, Milliseconds{300}, [&](Communicator& comm) {
    int turns = 0;
    comm.wait_until([&] { return ++turns == 5'000; });
    CHECK(turns == 5'000);
    CHECK(comm.process_of(0) == getpid());
    gpu::Outcome const outcome = gpu::outcome_of([&] { comm.wait_until([] { return false; }); });
    CHECK(outcome.code == Errc::timeout);
    CHECK(outcome.says("wait for a condition"));
  });
  CHECK(end.world.code == Errc::timeout);
}

TEST_CASE("nothing can be called after finalize, which may be called twice") {
  gpu::WorldEnd const end = gpu::run_world(1, [&](Communicator& comm) {
    comm.barrier();
    comm.finalize();
    CHECK(comm.finalized());
    comm.finalize();
    CHECK(gpu::outcome_of([&] { comm.barrier(); }).code == Errc::invalid_argument);
    CHECK(comm.native() == nullptr);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("abort ends every later call with its reason") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    gpu::WorldEnd const end = gpu::run_world(size, [&](Communicator& comm) {
      comm.barrier();
      if (comm.rank() == size - 1) {
        comm.abort("the weights are not finite");
      }
      // With one rank nothing is in the way of the call but the abort; with more it also waits.
      comm.barrier();
    });
    CHECK(end.world.code == Errc::aborted);
    CHECK(end.world.rank == size - 1);
    CHECK(end.world.says("the weights are not finite"));
    for (gpu::Outcome const& outcome : end.of) {
      CHECK(outcome.code == Errc::aborted);
      CHECK(outcome.rank == size - 1);
      CHECK(outcome.says("the weights are not finite"));
    }
    CHECK(end.seconds < gpu::soon_seconds);
  }
}

TEST_CASE("a communicator that is destroyed without finalize does not hang") {
  gpu::WorldEnd const end = gpu::run_world(1, [&](Communicator& comm) {
    comm.finalize();
    for (int i = 0; i < 2; ++i) {
      Communicator alone(rlhf::nccl::unique_id(), 0, 1);
      std::int32_t value = 7;
      alone.all_reduce(&value, &value, 1, DType::i32, Reduce::sum);
      CHECK(value == 7);
      Communicator moved(std::move(alone));
      CHECK(moved.size() == 1);
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(end.seconds < gpu::soon_seconds);
}

TEST_CASE("more ranks than devices are refused") {
  int const devices = rlhf::cuda::device_count();
  gpu::WorldEnd const end = gpu::run_world(devices + 1, [](Communicator&) {});
  CHECK(end.world.code == Errc::cuda);
  CHECK(end.world.says("CUDA_VISIBLE_DEVICES"));
}

TEST_CASE("the exception of a rank is thrown, and ends the others' calls") {
  if (!gpu::has_devices(2)) {
    return;
  }
  gpu::WorldEnd const end = gpu::run_world(2, [&](Communicator& comm) {
    comm.barrier();
    if (comm.rank() == 1) {
      throw std::runtime_error("no more prompts");
    }
    comm.barrier();
  });
  CHECK(end.world.code == Errc::aborted);
  CHECK(end.world.rank == 1);
  CHECK(end.world.says("no more prompts"));
  CHECK(end.of[0].code == Errc::aborted);
  CHECK(end.of[0].rank == 1);
  CHECK(end.of[0].says("no more prompts"));
  CHECK(end.seconds < gpu::soon_seconds);
}

TEST_CASE("the exception of a rank ends work that another waits for in CUDA") {
  if (!gpu::has_devices(2)) {
    return;
  }
  gpu::WorldEnd const end = gpu::run_world(2, [&](Communicator& comm) {
    rlhf::cuda::Stream const stream;
    rlhf::cuda::DeviceBuffer const buffer(4096);
    comm.barrier();
    if (comm.rank() == 1) {
      gpu::sleep_ms(200);
      throw std::runtime_error("no more prompts");
    }
    comm.all_reduce(buffer.data(), buffer.data(), 1024, DType::f32, Reduce::sum, stream);
    static_cast<void>(cudaStreamSynchronize(stream.get()));  // returns because the work is aborted
  });
  CHECK(end.world.rank == 1);
  CHECK(end.seconds < gpu::soon_seconds);
}

TEST_CASE("a rank that stalls is named with the calls it has made") {
  if (!gpu::has_devices(2)) {
    return;
  }
  std::atomic<bool> noticed{false};
  gpu::WorldEnd const end = gpu::run_world(2, Milliseconds{1'000}, [&](Communicator& comm) {
    rlhf::cuda::Stream const stream;
    rlhf::cuda::DeviceBuffer const buffer(4096);
    comm.barrier();
    comm.barrier();
    if (comm.rank() == 1) {
      while (!noticed.load()) {
        gpu::sleep_ms(5);
      }
      comm.barrier();
      return;
    }
    gpu::Outcome const outcome = gpu::outcome_of([&] {
      comm.all_reduce(buffer.data(), buffer.data(), 1024, DType::f32, Reduce::sum, stream);
      comm.wait(stream);
    });
    noticed = true;
    CHECK(outcome.code == Errc::timeout);
    CHECK(outcome.rank == 1);
    CHECK(outcome.says("rank 0/2"));
    CHECK(outcome.says("rank 1/2 (has made 2 of 3 calls)"));
    comm.barrier();
  });
  CHECK(end.world.code == Errc::timeout);
  CHECK(end.world.rank == 1);
  CHECK(end.of[0].code == Errc::aborted);
  CHECK(end.of[1].code == Errc::aborted);
  CHECK(end.seconds < gpu::soon_seconds);
}

TEST_CASE("a host call that nobody answers is noticed, with its bytes") {
  if (!gpu::has_devices(2)) {
    return;
  }
  std::atomic<bool> noticed{false};
  gpu::WorldEnd const end = gpu::run_world(2, Milliseconds{1'000}, [&](Communicator& comm) {
    comm.barrier();
    if (comm.rank() == 1) {
      while (!noticed.load()) {
        gpu::sleep_ms(5);
      }
      return;
    }
    std::vector<std::int64_t> values(100);
    gpu::Outcome const outcome =
        gpu::outcome_of([&] { comm.recv(values.data(), 100, DType::i64, 1); });
    noticed = true;
    CHECK(outcome.code == Errc::timeout);
    CHECK(outcome.rank == 1);
    CHECK(outcome.says("recv(100 x i64, from rank 1, 800 bytes)"));
  });
  CHECK(end.seconds < gpu::soon_seconds);
}

TEST_CASE("after a failure a new world of the same devices works") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    for (int round = 0; round < 2; ++round) {
      static_cast<void>(gpu::run_world(size, [&](Communicator& comm) {
        comm.barrier();
        comm.abort("enough");
      }));
      gpu::WorldEnd const end = gpu::run_world(size, [&](Communicator& comm) {
        std::int32_t value = 1;
        comm.all_reduce(&value, &value, 1, DType::i32, Reduce::sum);
        CHECK(value == size);
      });
      CHECK_MESSAGE(!end.world.failed, end.world.text);
    }
  }
}
