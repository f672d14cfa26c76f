#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/recording.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace comm = rlhf::comm;
using comm::Local;
using comm::Record;
using comm::Reduce;
using Recorded = comm::Recording<Local>;
using rlhf::DType;

namespace {

/// The record of rank 0 of a world of one after some calls.
Record record_of(std::function<void(Recorded&)> const& calls) {
  Record out;
  comm::run_local(1, [&](Local local) {
    Recorded world(std::move(local));
    calls(world);
    out = world.record();
  });
  return out;
}

float in[16] = {};
float out[16] = {};

}  // namespace

TEST_CASE("a recording forwards: the data is what the inner communicator makes of it") {
  comm::run_local(3, [](Local local) {
    Recorded world(std::move(local));
    CHECK(world.size() == 3);
    CHECK(world.world_rank(world.rank()) == world.rank());
    int sum = world.rank();
    world.all_reduce(&sum, &sum, 1, DType::i32, Reduce::sum);
    CHECK(sum == 3);
    Recorded pair = world.split(world.rank() == 0 ? comm::no_color : 1, -world.rank());
    CHECK(pair.size() == (world.rank() == 0 ? 0 : 2));
    if (world.rank() != 0) {
      int value = world.rank();
      pair.broadcast(&value, 1, DType::i32, 0);
      CHECK(value == 2);
      CHECK(pair.record().broadcast == comm::Traffic{1, 4});  // its own record
    }
    CHECK(world.record().broadcast == comm::Traffic{});
    CHECK(world.record().splits == 1);
    CHECK(world.inner().rank() == world.rank());
  });
  CHECK(comm::Communicator<Recorded>);
}

TEST_CASE("calls and bytes are counted a kind, and cleared") {
  comm::run_local(1, [](Local local) {
    Recorded world(std::move(local));
    world.broadcast(in, 10, DType::f32, 0);
    world.broadcast(in, 3, DType::bf16, 0);
    world.all_gather(in, out, 2, DType::f64);
    world.barrier();
    world.group_start();
    world.send(in, 5, DType::u8, 0);
    world.recv(out, 5, DType::u8, 0);
    world.group_end();
    CHECK(world.record().broadcast == comm::Traffic{2, 46});
    CHECK(world.record().all_gather == comm::Traffic{1, 16});
    CHECK(world.record().send == comm::Traffic{1, 5});
    CHECK(world.record().recv == comm::Traffic{1, 5});
    CHECK(world.record().barriers == 1);
    CHECK(world.record().groups == 1);
    CHECK(world.record().all_reduce == comm::Traffic{});
    world.clear();
    CHECK(world.record() == Record{});
  });
}

TEST_CASE("equal sequences of calls have equal fingerprints, whatever the memory") {
  auto const calls = [](float* memory) {
    return record_of([memory](Recorded& world) {
      world.broadcast(memory, 8, DType::f32, 0);
      world.all_reduce(memory, memory, 4, DType::f32, Reduce::max);
      world.barrier();
    });
  };
  CHECK(calls(in) == calls(out));
  CHECK(calls(in).sequence != 0);
}

TEST_CASE("every other call, argument or order gives another fingerprint") {
  using Calls = std::function<void(Recorded&)>;
  Calls const variants[] = {
      [](Recorded&) {},
      [](Recorded& w) { w.broadcast(in, 4, DType::f32, 0); },
      [](Recorded& w) { w.broadcast(in, 5, DType::f32, 0); },
      [](Recorded& w) { w.broadcast(in, 4, DType::i32, 0); },
      [](Recorded& w) { w.all_reduce(in, out, 4, DType::f32, Reduce::sum); },
      [](Recorded& w) { w.all_reduce(in, out, 4, DType::f32, Reduce::min); },
      [](Recorded& w) { w.all_gather(in, out, 4, DType::f32); },
      [](Recorded& w) { w.reduce_scatter(in, out, 4, DType::f32, Reduce::sum); },
      [](Recorded& w) { w.all_to_all(in, out, 4, DType::f32); },
      [](Recorded& w) { w.barrier(); },
      [](Recorded& w) {
        w.barrier();
        w.barrier();
      },
      [](Recorded& w) {
        w.broadcast(in, 4, DType::f32, 0);
        w.barrier();
      },
      [](Recorded& w) {
        w.barrier();
        w.broadcast(in, 4, DType::f32, 0);
      },
      [](Recorded& w) { static_cast<void>(w.split(0, 0)); },
      [](Recorded& w) { static_cast<void>(w.split(1, 0)); },
      [](Recorded& w) {
        w.group_start();
        w.group_end();
      },
      [](Recorded& w) {
        w.group_start();
        w.send(in, 4, DType::f32, 0);
        w.recv(out, 4, DType::f32, 0);
        w.group_end();
      },
      [](Recorded& w) {
        w.group_start();
        w.recv(out, 4, DType::f32, 0);
        w.send(in, 4, DType::f32, 0);
        w.group_end();
      },
      [](Recorded& w) {
        w.group_start();
        w.group_start();
        w.recv(out, 4, DType::f32, 0);
        w.group_end();
        w.send(in, 4, DType::f32, 0);
        w.group_end();
      },
      [](Recorded& w) {
        w.group_start();
        w.send(in, 4, DType::f32, 0);
        w.group_cancel();
      },
  };
  std::set<std::uint64_t> seen;
  for (Calls const& calls : variants) {
    seen.insert(record_of(calls).sequence);
  }
  CHECK(seen.size() == std::size(variants));
}

TEST_CASE("peers and roots are part of the fingerprint") {
  std::vector<std::uint64_t> sequences(3);
  comm::run_local(3, [&](Local local) {
    Recorded world(std::move(local));
    int const value = 0;
    int received = 0;
    int const next = (world.rank() + 1) % 3;
    int const previous = (world.rank() + 2) % 3;
    world.group_start();
    world.send(&value, 1, DType::i32, next);
    world.recv(&received, 1, DType::i32, previous);
    world.group_end();
    sequences[static_cast<std::size_t>(world.rank())] = world.record().sequence;
  });
  CHECK(std::set<std::uint64_t>(sequences.begin(), sequences.end()).size() == 3);
}
