#include <rlhf/comm/local_world.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>
#include <rlhf/sync/verify.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"
#include "ranks/world.hpp"

using cases::Case;
using cases::Model;
using cases::Side;
using rlhf::Errc;
using rlhf::Error;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Version;
using rlhf::comm::Local;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;  // here, because <unistd.h> has a function of that name

/// One source, two destination ranks, the first of which is the source's rank: a local copy and
/// transfers, in several buckets.
Case pair_of(Layout destination, int first) {
  Case pair;
  pair.destination = destination;
  pair.source_mesh = Mesh::range(0, 1);
  pair.destination_mesh = Mesh::range(first, destination.ranks());
  pair.world = first + destination.ranks();
  rlhf::DType const types[] = {rlhf::DType::f32, rlhf::DType::bf16, rlhf::DType::u8,
                               rlhf::DType::f64};
  for (int p = 0; p < 4; ++p) {
    cases::Parameter next;
    next.name = "w" + std::to_string(p);
    next.dtype = types[p];
    next.global = {8, 10};
    if (destination.tensor > 1) {
      next.destination.cuts = {{rlhf::Axis::tensor, p % 2, 1}};
    }
    pair.parameters.push_back(next);
  }
  return pair;
}

using Policy = sync::TwoStage<256_B>;

/// Syncs version 1 and 2, then lets `damage(destination, rank)` loose on one rank and says what
/// verify reports there; "" where it is content. Other ranks must be told who it is.
std::string report_of(Case const& pair, int victim,
                      std::function<void(Model<Policy>&)> const& damage) {
  std::string report;
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
    Model<sync::None> source(pair, Side::source, world.rank());
    Model<Policy> destination(pair, Side::destination, world.rank());
    sync::Link link(world, source, destination);
    for (int version = 1; version <= 2; ++version) {
      source.fill(version);
      link.sync(Version{version});
      link.verify();
    }
    if (world.rank() == victim) {
      damage(destination);
    }
    try {
      link.verify();
    } catch (Error const& error) {
      CHECK(error.code() == Errc::corrupted);
      CHECK(error.rank() == victim);
      CHECK_FALSE(link.version().has_value());
      if (world.rank() == victim) {
        report = error.what();
      } else {
        std::string const told = "rank " + std::to_string(victim) + " holds what was not sent";
        CHECK(std::string(error.what()).find(told) != std::string::npos);
      }
    }
    world.barrier();  // what one rank found wrong has left no other waiting
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  return report;
}

}  // namespace

TEST_CASE("every flipped bit is found, on receivers, on relays and behind them, in local copies") {
  // One world, all flips: the rank that finds one goes on.
  for (Layout const layout : {Layout{.tensor = 2}, Layout{.data = 2}}) {
    for (int const first : {0, 1}) {
      Case const pair = pair_of(layout, first);
      std::atomic<int> flips{0};
      std::atomic<int> found{0};
      std::atomic<int> misnamed{0};
      std::atomic<int> false_alarms{0};
      ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
        Model<sync::None> source(pair, Side::source, world.rank());
        Model<Policy> destination(pair, Side::destination, world.rank());
        sync::Link link(world, source, destination);
        source.fill(1);
        link.sync(Version{1});
        auto const content = [&](std::string const& parameter) {
          try {
            link.verify();
            return true;
          } catch (Error const& error) {
            if (error.rank() != world.rank()) {
              return true;  // told by the rank that found it
            }
            bool const named =
                std::string(error.what()).find(parameter + " [") != std::string::npos &&
                std::string(error.what())
                        .find("destination rank " + std::to_string(world.rank())) !=
                    std::string::npos &&
                std::string(error.what()).find("source rank 0") != std::string::npos;
            misnamed += named ? 0 : 1;
            return false;
          }
        };
        for (int rank = first; rank < pair.world; ++rank) {
          for (std::size_t p = 0; p < pair.parameters.size(); ++p) {
            for (int trial = 0; trial < 40; ++trial) {
              std::byte* at = nullptr;
              std::byte mask{};
              if (world.rank() == rank) {
                auto& held = destination.held()[p];
                auto const bytes = static_cast<int>(held.view.bytes());
                cases::Dice dice(static_cast<std::uint64_t>(trial) * 977 + p);
                at = held.memory.data() + dice.between(0, bytes - 1);
                mask = static_cast<std::byte>(1 << dice.between(0, 7));
                *at ^= mask;
                ++flips;
              }
              bool const fine = content(pair.parameters[p].name);
              if (world.rank() == rank) {
                found += fine ? 0 : 1;
                *at ^= mask;
              } else {
                false_alarms += fine ? 0 : 1;
              }
            }
          }
        }
        link.verify();
      });
      CHECK_MESSAGE(!end.world.failed, end.world.text);
      CHECK(flips == 2 * 4 * 40);
      CHECK(found == flips);
      CHECK(misnamed == 0);
      CHECK(false_alarms == 0);
    }
  }
}

TEST_CASE("undamaged weights pass; swapped, stale and unwritten ones do not") {
  for (Layout const layout : {Layout{.tensor = 2}, Layout{.data = 2}}) {
    Case const pair = pair_of(layout, 1);
    for (int const victim : {1, 2}) {
      CHECK(report_of(pair, victim, [](Model<Policy>&) {}) == "");
      // Two elements of one row, which are different.
      std::string const swapped = report_of(pair, victim, [](Model<Policy>& model) {
        auto* const floats = reinterpret_cast<std::uint32_t*>(model.held()[0].memory.data());
        CHECK(floats[1] != floats[2]);
        std::swap(floats[1], floats[2]);
      });
      CHECK(swapped.find("w0") != std::string::npos);
      // Two rows: every byte is there, in the wrong place.
      CHECK(report_of(pair, victim, [](Model<Policy>& model) {
              auto& held = model.held()[1];
              std::byte* const memory = held.memory.data();
              auto const row = static_cast<std::ptrdiff_t>(held.view.strides[0] * 2);
              std::swap_ranges(memory, memory + row, memory + row);
            }).find("w1") != std::string::npos);
      // The last 200 bytes are those of version 1: a bucket that never came.
      CHECK(report_of(pair, victim, [&](Model<Policy>& model) {
              Model<Policy> old(pair, Side::destination, victim);
              old.fill(1);
              auto& held = model.held()[3];
              auto const from = static_cast<std::size_t>(held.view.bytes()) - 200;
              std::memcpy(held.memory.data() + from, old.held()[3].memory.data() + from, 200);
            }).find("w3") != std::string::npos);
      // One element was not written at all.
      CHECK(report_of(pair, victim, [](Model<Policy>& model) {
              model.held()[2].memory[7] = std::byte{0};
              model.held()[2].memory[8] = std::byte{0};
            }).find("w2") != std::string::npos);
      // All of version 1.
      CHECK(report_of(pair, victim, [](Model<Policy>& model) { model.fill(1); }) != "");
    }
  }
}
