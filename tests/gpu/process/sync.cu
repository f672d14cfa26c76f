// One rank of a weight sync between processes, one GPU each, that map each other's memory.
//
//   process_gpu_sync_tests syncs | killed | stalled
//
// A rank ends with 0, with 77 where there are too few devices, else with 1 and a line about what
// was expected.
#include <rlhf/core/clock.hpp>
#include <rlhf/cuda/packer.cuh>
#include <rlhf/nccl/world.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "gpu/device_model.hpp"
#include "property/cases.hpp"
#include <signal.h>
#include <time.h>

namespace {

namespace sync = rlhf::sync;
namespace cuda = rlhf::cuda;
using cases::Case;
using cases::Side;
using gpu::DeviceModel;
using rlhf::Version;
using rlhf::nccl::Communicator;
using namespace rlhf::literals;

void expect(bool condition, std::string const& what) {
  if (!condition) {
    throw std::runtime_error("expected " + what);
  }
}

Case case_for(int ranks, std::uint64_t& seed) {
  for (;; ++seed) {
    Case const pair = cases::random_case(seed, ranks, false);
    if (pair.world == ranks) {
      return pair;
    }
  }
}

cuda::PackerOptions options_with(int deadline_ms) {
  cuda::PackerOptions options;
  options.direct.fingerprints = true;
  options.direct.chunk = 4_KiB;
  options.direct.deadline = rlhf::Milliseconds{deadline_ms};
  return options;
}

void syncs(Communicator& world) {
  std::uint64_t seed = 0;
  for (int i = 0; i < 6; ++i, ++seed) {
    Case const pair = case_for(world.size(), seed);
    cuda::Stream const stream;
    DeviceModel<sync::None> source(pair, Side::source, world.rank());
    DeviceModel<sync::Reshard<4_KiB>> destination(pair, Side::destination, world.rank());
    sync::Link link(world, source, destination, {}, cuda::Packer(options_with(20'000)));
    std::size_t before = 0;
    for (int version = 1; version <= 200; ++version) {
      bool const checks = version < 4 || version == 200;
      if (checks) {
        source.fill(version, stream);
        destination.clear(stream);
      }
      link.sync(Version{version}, stream);
      if (version == 5) {  // everything has been called once
        world.barrier();
        before = cuda::device_memory().free;
        world.barrier();
      }
      if (checks) {
        expect(destination.wrong(version, stream) == 0, "the right elements");
        link.verify(sync::Verification::fingerprint, stream);
      }
    }
    world.barrier();
    expect(cuda::device_memory().free == before, "as much free memory as before");
  }
}

/// Rank 1 ends or stalls; rank 0 must be told, and go on alone.
void lost(Communicator& world, bool killed) {
  std::uint64_t seed = 5;
  Case const pair = case_for(2, seed);
  cuda::Stream const stream;
  DeviceModel<sync::None> source(pair, Side::source, world.rank());
  DeviceModel<sync::Reshard<4_KiB>> destination(pair, Side::destination, world.rank());
  sync::Link link(world, source, destination, {}, cuda::Packer(options_with(2000)));
  source.fill(1, stream);
  link.sync(Version{1}, stream);
  if (world.rank() == 1) {
    if (killed) {
      raise(SIGKILL);
    }
    timespec const time{9, 0};
    nanosleep(&time, nullptr);
    return;
  }
  std::int64_t const begin = rlhf::steady_nanoseconds();
  bool told = false;
  try {
    link.sync(Version{2}, stream);
  } catch (rlhf::Error const& error) {
    told = true;
    double const seconds = static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-9;
    std::printf("after %.2f s: %s\n", seconds, error.what());
    expect(error.rank() == 1, "the error to name rank 1");
    expect(!link.version().has_value(), "no version");
    expect(seconds < 8, "the error sooner");
  }
  expect(told, "an error");
  world.abort("a rank is lost");
  Communicator alone(rlhf::nccl::unique_id(), 0, 1);
  std::int32_t one = 1;
  alone.all_reduce(&one, &one, 1, rlhf::DType::i32, rlhf::comm::Reduce::sum);
  expect(one == 1, "a world of the survivor to work");
  alone.finalize();
}

}  // namespace

int main(int argc, char** argv) {
  std::string const what = argc > 1 ? argv[1] : "";
  auto const launch = rlhf::comm::launch_from_environment();
  if (cuda::device_count() < launch.size) {
    std::printf("skipped: needs %d devices\n", launch.size);
    return 77;
  }
  try {
    rlhf::nccl::RunOptions options;
    options.communicator.timeout = rlhf::Milliseconds{5000};
    rlhf::nccl::run(
        [&](Communicator& world) {
          if (what == "syncs") {
            syncs(world);
          } else {
            lost(world, what == "killed");
          }
        },
        options);
  } catch (std::exception const& error) {
    if (what == "stalled" || what == "killed") {
      std::printf("the run ended with: %s\n", error.what());
      return std::string(error.what()).find("expected") == std::string::npos ? 0 : 1;
    }
    std::printf("failed: %s\n", error.what());
    return 1;
  }
  return 0;
}
