// Weight syncs of device memory between ranks that are threads and share one device: kernels that
// store straight into the destination, kernels that pack and unpack beside transfers, and copies.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/cuda/copy_packer.hpp>
#include <rlhf/cuda/packer.cuh>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "gpu/device_model.hpp"
#include "property/cases.hpp"
#include "ranks/world.hpp"

using cases::Case;
using cases::Side;
using gpu::DeviceModel;
using gpu::Threads;
using rlhf::Version;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;
namespace cuda = rlhf::cuda;

static_assert(rlhf::comm::Communicator<Threads> && rlhf::comm::RunsBehind<Threads>);
static_assert(rlhf::Packer<cuda::Packer> && rlhf::HasLanes<cuda::Packer>);
static_assert(rlhf::comm::HasCourier<cuda::Packer, Threads>);
static_assert(rlhf::Packer<cuda::CopyPacker>);

/// Few enough blocks that the kernels of all ranks run on one device at once.
cuda::PackerOptions few_blocks(cuda::Reach reach, bool fingerprints) {
  cuda::PackerOptions options;
  options.direct.reach = reach;
  options.direct.fingerprints = fingerprints;
  options.direct.blocks = 4;
  options.direct.follow_blocks = 4;
  options.direct.chunk = 256_B;
  return options;
}

/// A device has 32 queues at most, and kernels of ranks that wait for each other must not stand in
/// one.
constexpr int most_ranks = 4;

template <class Policy, class Packer>
void check_case(Case const& pair, std::uint64_t seed, Packer const& packer) {
  std::atomic<int> wrong{0};
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
    int const rank = local.rank();
    Threads world(std::move(local));
    cuda::Stream const stream;
    DeviceModel<sync::None> source(pair, Side::source, rank, seed % 2 == 0);
    DeviceModel<Policy> destination(pair, Side::destination, rank, seed % 3 == 0);
    sync::Link<DeviceModel<sync::None>, DeviceModel<Policy>, Threads, Packer> link(
        world, source, destination, {}, packer);
    for (int version = 1; version <= 3; ++version) {
      if (version == 3) {
        source.move_memory();
        destination.move_memory();
        link.rebind();
      }
      source.fill(version, stream);
      destination.clear(stream);
      link.sync(Version{version}, stream);
      wrong += destination.wrong(version, stream) + source.wrong(version, stream);
      link.verify(sync::Verification::fingerprint, stream);
      wrong += link.version() == Version{version} ? 0 : 1;
    }
    wrong += link.fingerprints(sync::Side::source, stream) ==
                     link.fingerprints(sync::Side::destination, stream)
                 ? 0
                 : 1;
  });
  CAPTURE(seed);
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("direct: every element arrives, bit for bit, also through chains of replicas") {
  for (std::uint64_t seed = 0; seed < gpu::cases_of(80); ++seed) {
    Case const pair = cases::random_case(seed, 3, false);
    if (pair.world > most_ranks) {
      continue;
    }
    bool const prints = seed % 2 == 0;
    cuda::Packer const packer(few_blocks(cuda::Reach::automatic, prints));
    check_case<sync::Reshard<256_B>>(pair, seed, packer);
    check_case<sync::Broadcast<4_KiB>>(pair, seed, packer);
  }
}

TEST_CASE("packed by kernels, in lanes: every element arrives, bit for bit") {
  for (std::uint64_t seed = 100; seed < 100 + gpu::cases_of(30); ++seed) {
    Case const pair = cases::random_case(seed, 4, true);
    cuda::Packer const packer(few_blocks(cuda::Reach::never, false));
    check_case<sync::PointToPoint<256_B>>(pair, seed, packer);
    check_case<sync::Broadcast<256_B>>(pair, seed, packer);
    check_case<sync::TwoStage<256_B>>(pair, seed, packer);
  }
}

TEST_CASE("packed by the driver's copies: every element arrives, bit for bit") {
  for (std::uint64_t seed = 200; seed < 200 + gpu::cases_of(15); ++seed) {
    Case const pair = cases::random_case(seed, 4, false);
    check_case<sync::Reshard<4_KiB>>(pair, seed, cuda::CopyPacker());
  }
}

namespace {

/// One source, `replicas` full copies, two parameters: a chain.
Case fan_out(int replicas) {
  Case pair;
  pair.destination = rlhf::Layout{.data = replicas};
  pair.source_mesh = rlhf::Mesh::range(0, 1);
  pair.destination_mesh = rlhf::Mesh::range(1, replicas);
  pair.world = 1 + replicas;
  for (char const* const name : {"a", "b"}) {
    cases::Parameter next;
    next.name = name;
    next.dtype = rlhf::DType::bf16;
    next.global = {64, 48};
    pair.parameters.push_back(next);
  }
  return pair;
}

}  // namespace

TEST_CASE(
    "direct: a rank that does not come is named by all that wait for it, within the deadline") {
  Case const pair = fan_out(3);
  for (int const missing : {0, 1, 3}) {
    std::atomic<int> named{0};
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
      int const rank = local.rank();
      Threads world(std::move(local));
      cuda::Stream const stream;
      DeviceModel<sync::None> source(pair, Side::source, rank);
      DeviceModel<sync::Reshard<>> destination(pair, Side::destination, rank);
      auto options = few_blocks(cuda::Reach::automatic, false);
      options.direct.deadline = rlhf::Milliseconds{1000};
      sync::Link link(world, source, destination, {}, cuda::Packer(options));
      source.fill(1, stream);
      link.sync(Version{1}, stream);
      if (rank == missing) {
        return;
      }
      try {
        link.sync(Version{2}, stream);
      } catch (rlhf::Error const& error) {
        // Those that do not wait for that rank themselves are told by others that ended.
        bool const waited = error.code() == rlhf::Errc::timeout;
        CHECK((waited || error.code() == rlhf::Errc::aborted));
        bool const says = std::string(error.what()).find("direct route") != std::string::npos;
        CHECK(says == waited);
        CHECK_FALSE(link.version().has_value());
        CHECK((!waited || error.rank() == missing));
        named += error.rank() == missing ? 1 : 0;
        try {
          link.sync(Version{3}, stream);
          CHECK_MESSAGE(false, "a dead route ran");
        } catch (rlhf::Error const& again) {
          CHECK((again.code() == rlhf::Errc::aborted || again.code() == rlhf::Errc::timeout));
        }
      }
    });
    CAPTURE(missing);
    for (auto const& one : end.of) {  // what is expected was caught
      CHECK_MESSAGE(!one.failed, one.text);
    }
    CHECK(named >= 1);
    CHECK(end.seconds < 20);
  }
}

TEST_CASE("direct: a damaged element is found afterwards, and told to all ranks") {
  Case const pair = fan_out(2);
  std::atomic<int> found{0};
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
    int const rank = local.rank();
    Threads world(std::move(local));
    cuda::Stream const stream;
    DeviceModel<sync::None> source(pair, Side::source, rank);
    DeviceModel<sync::Reshard<>> destination(pair, Side::destination, rank);
    sync::Link link(world, source, destination, {},
                    cuda::Packer(few_blocks(cuda::Reach::automatic, true)));
    source.fill(1, stream);
    link.sync(Version{1}, stream);
    CHECK(link.version() == Version{1});
    if (rank == 1) {
      cuda::check(cudaMemsetAsync(destination.memory()[0].data(), 7, 16, stream.get()), "damage");
      stream.synchronize();
    }
    try {
      link.verify(sync::Verification::fingerprint, stream);
    } catch (rlhf::Error const& error) {
      found += error.code() == rlhf::Errc::corrupted && error.rank() == 1 ? 1 : 0;
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(found == 3);
}

TEST_CASE("direct: what did not arrive as it was sent is found in the run itself") {
  // The last rank of the chain says that rows of its second parameter overlap: the end of each and
  // the beginning of the next overwrite each other.
  Case const pair = fan_out(2);
  std::atomic<int> found{0};
  std::atomic<int> versions{0};
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
    int const rank = local.rank();
    Threads world(std::move(local));
    cuda::Stream const stream;
    DeviceModel<sync::None> source(pair, Side::source, rank);
    DeviceModel<sync::Reshard<>> destination(pair, Side::destination, rank);
    if (rank == 2) {
      destination.lay_across_itself(1);
    }
    sync::Link link(world, source, destination, {},
                    cuda::Packer(few_blocks(cuda::Reach::automatic, true)));
    source.fill(1, stream);
    try {
      link.sync(Version{1}, stream);
    } catch (rlhf::Error const& error) {
      bool const named = std::string(error.what()).find("[0:64, 0:48]") != std::string::npos;
      found += error.code() == rlhf::Errc::corrupted && named && error.rank() == 2 ? 1 : 0;
      world.abort("corrupted");
    }
    versions += link.version().has_value() ? 1 : 0;
  });
  CHECK(found == 1);
  CHECK(versions == 0);
}

TEST_CASE("a captured sync is replayed: new weights, no work on the host but the launch") {
  Case const pair = fan_out(3);
  std::atomic<int> wrong{0};
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
    int const rank = local.rank();
    Threads world(std::move(local));
    cuda::Stream const stream;
    DeviceModel<sync::None> source(pair, Side::source, rank);
    DeviceModel<sync::Reshard<>> destination(pair, Side::destination, rank);
    sync::Link link(world, source, destination, {},
                    cuda::Packer(few_blocks(cuda::Reach::automatic, true)));
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    cuda::check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "capture");
    link.start(stream);
    cuda::check(cudaStreamEndCapture(stream.get(), &graph), "capture");
    cuda::check(cudaGraphInstantiate(&replay, graph, 0), "instantiate");
    world.barrier();
    for (int version = 1; version <= 5; ++version) {
      source.fill(version, stream);
      destination.clear(stream);
      cuda::check(cudaGraphLaunch(replay, stream.get()), "launch");
      link.finish(Version{version}, stream);
      wrong += destination.wrong(version, stream);
    }
    cudaGraphExecDestroy(replay);
    cudaGraphDestroy(graph);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(wrong == 0);
}

TEST_CASE("a thousand syncs leave memory as it was") {
  Case const pair = fan_out(2);
  std::atomic<std::int64_t> growth{0};
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
    int const rank = local.rank();
    Threads world(std::move(local));
    cuda::Stream const stream;
    DeviceModel<sync::None> source(pair, Side::source, rank);
    DeviceModel<sync::Reshard<>> destination(pair, Side::destination, rank);
    sync::Link link(world, source, destination, {},
                    cuda::Packer(few_blocks(cuda::Reach::automatic, true)));
    source.fill(1, stream);
    link.sync(Version{1}, stream);
    world.barrier();
    auto const before = static_cast<std::int64_t>(cuda::device_memory().free);
    world.barrier();
    for (int version = 2; version <= 1000; ++version) {
      link.sync(Version{version}, stream);
    }
    world.barrier();
    growth += before - static_cast<std::int64_t>(cuda::device_memory().free);
    world.barrier();
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(growth == 0);
}
