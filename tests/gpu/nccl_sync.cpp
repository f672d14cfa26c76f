// Weight syncs of models in host memory over nccl::Communicator: descriptions, agreement, groups
// and verification are control messages that every sync on GPUs sends, too.
#include <rlhf/cuda/stream.hpp>
#include <rlhf/nccl/world.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>
#include <rlhf/tensor/pack.hpp>

#include <atomic>
#include <cstdint>

#include <doctest/doctest.h>

#include "gpu/worlds.hpp"
#include "property/cases.hpp"
#include "property/sync_model.hpp"

namespace {

using cases::Case;
using cases::Model;
using cases::Side;
using namespace rlhf::literals;

/// Two syncs between the models of each of the first cases that this machine has devices for.
template <class Policy>
void check_policy() {
  int tried = 0;
  for (std::uint64_t seed = 0; seed < 200 && tried < 6; ++seed) {
    Case const pair = cases::random_case(seed, 3, false);
    if (pair.world > rlhf::cuda::device_count()) {
      continue;
    }
    ++tried;
    CAPTURE(seed);
    std::atomic<int> wrong{0};
    gpu::WorldEnd const end = gpu::run_world(pair.world, [&](rlhf::nccl::Communicator& world) {
      using Source = Model<rlhf::sync::None>;
      using Destination = Model<Policy>;
      Source source(pair, Side::source, world.rank());
      Destination destination(pair, Side::destination, world.rank());
      rlhf::sync::Link<Source, Destination, rlhf::nccl::Communicator,
                       rlhf::HostPacker<rlhf::cuda::StreamView>>
          link(world, source, destination);
      for (int version = 1; version <= 2; ++version) {
        source.fill(version);
        destination.clear();
        link.sync(rlhf::Version{version});
        wrong += destination.wrong(version) + source.wrong(version);
        link.verify();
      }
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
    CHECK(wrong == 0);
  }
  CHECK(tried > 0);
}

}  // namespace

TEST_CASE("point to point over NCCL, models in host memory") {
  check_policy<rlhf::sync::PointToPoint<4_KiB>>();
}
TEST_CASE("broadcast over NCCL, models in host memory") {
  check_policy<rlhf::sync::Broadcast<4_KiB>>();
}
