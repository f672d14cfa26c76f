// One rank of a world of processes, one GPU each; tests/support/launch.cpp starts them.
//
//   process_gpu_tests collectives | killed PHASE | stalled | missing | thrown
//
// A rank ends with 0, with 77 where there are too few devices, else with 1 and a line about what
// was expected.
#include <rlhf/comm/launch.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/nccl/world.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <signal.h>
#include <time.h>

namespace {

using rlhf::DType;
using rlhf::Errc;
using rlhf::Error;
using rlhf::Milliseconds;
using rlhf::comm::Launch;
using rlhf::comm::Reduce;
using rlhf::nccl::Communicator;

void sleep_ms(int ms) {
  timespec const time{ms / 1000, static_cast<long>(ms % 1000) * 1'000'000};
  nanosleep(&time, nullptr);
}

void expect(bool condition, std::string const& what) {
  if (!condition) {
    throw std::runtime_error("expected " + what);
  }
}

std::int32_t sum(Communicator& comm, std::int32_t mine) {
  comm.all_reduce(&mine, &mine, 1, DType::i32, Reduce::sum);
  return mine;
}

/// What `body` throws, and that it throws within `seconds`.
template <class Body>
Error error_of(double seconds, Body body) {
  std::int64_t const begin = rlhf::steady_nanoseconds();
  try {
    body();
  } catch (Error const& error) {
    double const took = static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-9;
    std::printf("after %.2f s: %s\n", took, error.what());
    expect(took < seconds, "the error sooner");
    return error;
  }
  throw std::runtime_error("expected an error");
}

rlhf::nccl::RunOptions with_timeout(int ms) {
  rlhf::nccl::RunOptions options;
  options.communicator.timeout = Milliseconds{ms};
  return options;
}

/// Survivors go on: a new world of this process alone.
void go_on_alone() {
  Communicator alone(rlhf::nccl::unique_id(), 0, 1);
  expect(sum(alone, 41) == 41, "a world of the survivor to work");
  alone.finalize();
}

void collectives() {
  rlhf::nccl::run([](Communicator comm) {
    int const size = comm.size();
    expect(sum(comm, comm.rank() + 1) == size * (size + 1) / 2, "the sum over all ranks");
    std::vector<std::int64_t> values(static_cast<std::size_t>(size), -1);
    std::int64_t const mine = 7 * comm.rank();
    comm.all_gather(&mine, values.data(), 1, DType::i64);
    for (int r = 0; r < size; ++r) {
      expect(values[static_cast<std::size_t>(r)] == 7 * r, "every rank's value");
    }
    constexpr std::int64_t n = 1 << 20;
    rlhf::cuda::Stream const stream;
    rlhf::cuda::DeviceBuffer const from(n);
    rlhf::cuda::DeviceBuffer const to(n);
    rlhf::cuda::check(cudaMemsetAsync(from.data(), comm.rank() + 1, n, stream.get()), "memset");
    int const before = (comm.rank() + size - 1) % size;
    comm.group_start();
    comm.send(from.data(), n, DType::u8, (comm.rank() + 1) % size, stream);
    comm.recv(to.data(), n, DType::u8, before, stream);
    comm.group_end(stream);
    comm.wait(stream);
    std::vector<unsigned char> got(n);
    rlhf::cuda::check(cudaMemcpy(got.data(), to.data(), n, cudaMemcpyDeviceToHost), "copy");
    for (unsigned char const value : got) {
      expect(value == before + 1, "what the rank before sent");
    }
    Communicator half = comm.split(comm.rank() % 2, 0);
    expect(sum(half, 1) == half.size(), "the sum over a split");
    half.finalize();
    comm.barrier();
  });
}

/// Rank 1 is killed before a transfer, or while it is under way.
void killed(Launch const& launch, std::string_view phase) {
  Milliseconds const timeout{6'000};
  Error const error = error_of(20, [&] {
    rlhf::nccl::run(
        [&](Communicator comm) {
          constexpr std::int64_t n = std::int64_t{64} << 20;
          rlhf::cuda::Stream const stream;
          rlhf::cuda::DeviceBuffer const data(n);
          comm.broadcast(data.data(), n, DType::u8, 0, stream);
          comm.wait(stream);
          comm.barrier();
          if (launch.rank == 1 && phase == "before") {
            raise(SIGKILL);
          }
          for (int round = 0; round < 1'000'000; ++round) {
            comm.broadcast(data.data(), n, DType::u8, round % launch.size, stream);
            if (launch.rank == 1 && round == 20) {
              raise(SIGKILL);
            }
            if (round % 8 == 7) {
              comm.wait(stream);
            }
          }
        },
        with_timeout(static_cast<int>(timeout.count)), launch);
  });
  expect(error.code() == Errc::timeout || error.code() == Errc::aborted, "timeout or aborted");
  expect(error.rank() == 1 || launch.size > 2, "rank 1 to be named");
  go_on_alone();
}

/// Rank 1 does not come for a while; the others name it, and it learns from the first of them.
void stalled(Launch const& launch) {
  Error const error = error_of(25, [&] {
    rlhf::nccl::run(
        [&](Communicator comm) {
          comm.barrier();
          if (launch.rank == 1) {
            sleep_ms(4'000);
          }
          comm.barrier();
          sleep_ms(10'000);
          throw std::runtime_error("expected the barrier to fail");
        },
        with_timeout(launch.rank == 1 ? 15'000 : 1'500), launch);
  });
  if (launch.rank == 1) {
    expect(error.code() == Errc::aborted, "aborted");
  } else if (launch.rank == 0) {
    expect(error.code() == Errc::timeout, "timeout");
    expect(error.rank() == 1, "rank 1 to be named");
  }
  go_on_alone();
}

/// Rank 1 never joins.
void missing(Launch const& launch) {
  if (launch.rank == 1) {
    sleep_ms(6'000);
    return;
  }
  Error const error =
      error_of(25, [&] { rlhf::nccl::run([](Communicator) {}, with_timeout(2'000), launch); });
  expect(error.code() == Errc::timeout, "timeout");
  expect(std::string_view(error.what()).find("creation") != std::string_view::npos,
         "the phase to be named");
  expect(error.rank() == 1 || launch.size > 2, "rank 1 to be named");
  go_on_alone();
}

/// Rank 1 throws; the others notice it long before their deadline.
void thrown(Launch const& launch) {
  bool failed = false;
  try {
    rlhf::nccl::run(
        [&](Communicator comm) {
          comm.barrier();
          if (launch.rank == 1) {
            throw std::runtime_error("no more prompts");
          }
          comm.barrier();
        },
        with_timeout(60'000), launch);
  } catch (Error const& error) {
    failed = true;
    expect(launch.rank != 1 && error.code() == Errc::aborted, "aborted on the other ranks");
    expect(error.rank() == 1 || launch.size > 2, "rank 1 to be named");
  } catch (std::runtime_error const& error) {
    failed = true;
    expect(launch.rank == 1 && std::string_view(error.what()) == "no more prompts",
           "the exception itself on rank 1");
  }
  expect(failed, "an exception on every rank");
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::string_view const what = argc > 1 ? argv[1] : "";
  try {
    Launch const launch = rlhf::comm::launch_from_environment();
    if (rlhf::cuda::device_count() < launch.size) {
      std::printf("skipped: needs %d devices, here are %d\n", launch.size,
                  rlhf::cuda::device_count());
      return 77;
    }
    if (what == "collectives") {
      collectives();
    } else if (what == "killed") {
      killed(launch, argc > 2 ? argv[2] : "");
    } else if (what == "stalled") {
      stalled(launch);
    } else if (what == "missing") {
      missing(launch);
    } else if (what == "thrown") {
      thrown(launch);
    } else {
      std::printf("unknown test\n");
      return 2;
    }
  } catch (std::exception const& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
  }
  return 0;
}
