// Weight syncs over NCCL, one rank a device: the direct route between devices, transfers alone, and
// both captured in graphs.
#include <rlhf/adapters/nccl_packer.cuh>
#include <rlhf/cuda/packer.cuh>
#include <rlhf/nccl/world.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <type_traits>

#include <doctest/doctest.h>

#include "gpu/device_model.hpp"
#include "gpu/worlds.hpp"
#include "property/cases.hpp"

using cases::Case;
using cases::Side;
using gpu::DeviceModel;
using rlhf::Version;
using rlhf::nccl::Communicator;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;
namespace cuda = rlhf::cuda;

static_assert(std::is_same_v<sync::PackerFor<Communicator>::type, cuda::Packer>);

/// A random pair for at most that many ranks.
Case case_for(int ranks, std::uint64_t& seed) {
  for (;; ++seed) {
    Case const pair = cases::random_case(seed, ranks, false);
    if (pair.world <= ranks) {
      return pair;
    }
  }
}

cuda::Packer packer_of(cuda::Reach reach, bool prints) {
  cuda::PackerOptions options;
  options.direct.reach = reach;
  options.direct.fingerprints = prints;
  options.direct.chunk = 4_KiB;
  return cuda::Packer(options);
}

/// Syncs of three versions, the last from and to other memory. `captured`: the second and third as
/// a replayed graph.
template <class Policy>
void check_case(Case const& pair, int ranks, std::uint64_t seed, cuda::Reach reach, bool captured) {
  std::atomic<int> wrong{0};
  auto const end = gpu::run_world(ranks, [&](Communicator& world) {
    int const rank = world.rank();
    cuda::Stream const stream;
    DeviceModel<sync::None> source(pair, Side::source, rank, seed % 2 == 0);
    DeviceModel<Policy> destination(pair, Side::destination, rank, seed % 3 == 0);
    sync::Link link(world, source, destination, {}, packer_of(reach, seed % 2 == 1));
    for (int version = 1; version <= 3; ++version) {
      if (version == 3) {
        source.move_memory();
        destination.move_memory();
        link.rebind();
      }
      source.fill(version, stream);
      destination.clear(stream);
      if (captured && version > 1) {
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t replay = nullptr;
        cuda::check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal),
                    "begin");
        link.start(stream);
        cuda::check(cudaStreamEndCapture(stream.get(), &graph), "end");
        cuda::check(cudaGraphInstantiate(&replay, graph, 0), "instantiate");
        cuda::check(cudaGraphLaunch(replay, stream.get()), "launch");
        link.finish(Version{version}, stream);
        cudaGraphExecDestroy(replay);
        cudaGraphDestroy(graph);
      } else {
        link.sync(Version{version}, stream);
      }
      wrong += destination.wrong(version, stream) + source.wrong(version, stream);
      link.verify(sync::Verification::fingerprint, stream);
    }
    link.verify(sync::Verification::full, stream);
  });
  CAPTURE(seed);
  CAPTURE(ranks);
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("syncs over NCCL: every element arrives, directly, by transfers, and captured") {
  std::uint64_t seed = 0;
  for (int const ranks : gpu::world_sizes()) {
    for (std::uint64_t i = 0; i < gpu::cases_of(3); ++i, ++seed) {
      Case const pair = case_for(ranks, seed);
      bool const captured = i % 2 == 1;
      check_case<sync::Reshard<256_B>>(pair, ranks, seed, cuda::Reach::automatic, captured);
      check_case<sync::PointToPoint<4_KiB>>(pair, ranks, seed, cuda::Reach::never, captured);
      check_case<sync::Broadcast<256_B>>(pair, ranks, seed, cuda::Reach::never, captured);
    }
  }
}

TEST_CASE(
    "a rank that stalls before a sync: the others' error names it, the phase and a parameter") {
  if (!gpu::has_devices(2)) {
    return;
  }
  std::uint64_t seed = 3;
  Case pair;
  do {
    pair = case_for(2, seed);
    ++seed;
  } while (pair.world != 2 || pair.destination_mesh.rank_of(1) < 0 ||
           pair.source_mesh.rank_of(1) >= 0);
  for (auto const reach : {cuda::Reach::automatic, cuda::Reach::never}) {
    std::atomic<int> told{0};
    auto const end = gpu::run_world(2, rlhf::Milliseconds{3000}, [&](Communicator& world) {
      cuda::Stream const stream;
      DeviceModel<sync::None> source(pair, Side::source, world.rank());
      DeviceModel<sync::PointToPoint<256_B>> destination(pair, Side::destination, world.rank());
      cuda::PackerOptions options;
      options.direct.reach = reach;
      options.direct.deadline = rlhf::Milliseconds{1000};
      sync::Link link(world, source, destination, {}, cuda::Packer(options));
      source.fill(1, stream);
      link.sync(Version{1}, stream);
      if (world.rank() == 1) {
        gpu::sleep_ms(8000);
        return;
      }
      try {
        link.sync(Version{2}, stream);
      } catch (rlhf::Error const& error) {
        MESSAGE(std::string(error.what()));
        bool const placed = std::string(error.what()).find("direct route") != std::string::npos ||
                            std::string(error.what()).find("weight sync") != std::string::npos;
        told += error.code() == rlhf::Errc::timeout && placed && error.rank() == 1 ? 1 : 0;
        CHECK_FALSE(link.version().has_value());
        throw;
      }
    });
    CHECK(end.world.failed);
    CHECK(told == 1);
  }
}
