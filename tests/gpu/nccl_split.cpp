// Groups split from a world of GPUs.
#include <rlhf/nccl/world.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "gpu/worlds.hpp"

namespace {

using rlhf::DType;
using rlhf::Errc;
using rlhf::comm::no_color;
using rlhf::comm::Reduce;
using rlhf::nccl::Communicator;

std::int32_t sum(Communicator& comm, int mine) {
  std::int32_t value = mine;
  comm.all_reduce(&value, &value, 1, DType::i32, Reduce::sum);
  return value;
}

}  // namespace

TEST_CASE("a split of one color keeps everybody, ordered by key and rank") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    gpu::WorldEnd const end = gpu::run_world(size, [&](Communicator& comm) {
      Communicator same = comm.split(3, 0);
      CHECK(same.size() == size);
      CHECK(same.rank() == comm.rank());
      Communicator reversed = comm.split(-7, -comm.rank());
      CHECK(reversed.size() == size);
      CHECK(reversed.rank() == size - 1 - comm.rank());
      for (int r = 0; r < size; ++r) {
        CHECK(reversed.world_rank(r) == size - 1 - r);
      }
      CHECK(reversed.timeout() == comm.timeout());
      std::int32_t const mine = reversed.rank();
      std::vector<std::int32_t> all(static_cast<std::size_t>(size), -1);
      reversed.all_gather(&mine, all.data(), 1, DType::i32);
      for (int r = 0; r < size; ++r) {
        CHECK(all[static_cast<std::size_t>(r)] == r);
      }
      // A split of a split still knows the world.
      Communicator again = reversed.split(0, 0);
      CHECK(again.world_rank(again.rank()) == comm.rank());
      CHECK(sum(again, 1) == size);
      again.finalize();
      reversed.finalize();
      CHECK(sum(same, 2) == 2 * size);  // others live on
      CHECK(sum(comm, 1) == size);
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}

TEST_CASE("a rank without a color gets an empty communicator") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    gpu::WorldEnd const end = gpu::run_world(size, [&](Communicator& comm) {
      Communicator none = comm.split(comm.rank() == 0 ? no_color : 1, 0);
      CHECK(none.size() == (comm.rank() == 0 ? 0 : size - 1));
      if (comm.rank() != 0) {
        CHECK(none.rank() == comm.rank() - 1);
        CHECK(sum(none, 1) == size - 1);
      }
      comm.barrier();
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}

TEST_CASE("colors separate ranks") {
  if (!gpu::has_devices(2)) {
    return;
  }
  gpu::WorldEnd const end = gpu::run_world(2, [&](Communicator& comm) {
    Communicator alone = comm.split(comm.rank(), 0);
    CHECK(alone.size() == 1);
    CHECK(alone.rank() == 0);
    CHECK(alone.world_rank(0) == comm.rank());
    CHECK(sum(alone, 5 + comm.rank()) == 5 + comm.rank());
    comm.barrier();
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("the abort of a world is the abort of its splits, and the other way round") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    for (bool const from_world : {true, false}) {
      gpu::WorldEnd const end = gpu::run_world(size, [&](Communicator& comm) {
        Communicator part = comm.split(0, 0);
        comm.barrier();
        if (comm.rank() == 0) {
          (from_world ? comm : part).abort("stop here");
        }
        gpu::Outcome const of_part = gpu::outcome_of([&] { part.barrier(); });
        gpu::Outcome const of_world = gpu::outcome_of([&] { comm.barrier(); });
        CHECK(of_part.code == Errc::aborted);
        CHECK(of_world.code == Errc::aborted);
        CHECK(of_part.says("stop here"));
        CHECK(of_world.says("stop here"));
      });
      CHECK(end.world.rank == 0);
      CHECK(end.seconds < gpu::soon_seconds);
    }
  }
}
