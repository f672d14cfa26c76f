// Offloads: whatever leaves and comes back in whatever order, fails and is tried again, the parts
// are on one side each and to the bit what they were; syncs between models that leave and come
// back.
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/runtime/offload.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "ranks/world.hpp"

namespace {

namespace runtime = rlhf::runtime;
namespace sync = rlhf::sync;
using rlhf::Layout;
using rlhf::Mesh;
using runtime::Part;
using runtime::Parts;
using runtime::Residence;

/// The n-th allocation from now on fails; 0: none.
int failing_in = 0;

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : elements_(size, T{9}) {
    if (failing_in != 0 && --failing_in == 0) {
      throw std::bad_alloc();
    }
  }
  [[nodiscard]] T* data() noexcept { return elements_.data(); }
  [[nodiscard]] T const* data() const noexcept { return elements_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return elements_.size(); }
  bool operator==(Buffer const&) const = default;

 private:
  std::vector<T> elements_;
};

/// A space whose copies to the host may fail.
struct Space : runtime::HostSpace {
  template <class Free>
  void offload(std::span<Range const> ranges, Free&& free, Stream = {}) {
    if (failing_in != 0 && --failing_in == 0) {
      rlhf::fail(rlhf::Errc::cuda, "no pinned memory");
    }
    runtime::HostSpace::offload(ranges, free);
  }
};

struct Model : runtime::Offloadable<Space> {
  std::vector<std::pair<Part, Buffer<float>>> floats;
  std::vector<std::pair<Part, Buffer<std::uint16_t>>> halves;

  template <class Visit>
  void memory(Visit&& visit) {
    for (auto& [part, buffer] : floats) {
      visit(part, "float", buffer);
    }
    for (auto& [part, buffer] : halves) {
      visit(part, "half", buffer);
    }
  }
};

Parts some_parts(cases::Dice& dice) {
  Parts parts;
  for (int i = 0; i < runtime::part_count; ++i) {
    parts = dice.one_in(2) ? parts | static_cast<Part>(i) : parts;
  }
  return parts;
}

/// Buffers that are not what they should be: empty where their part is on the host; zeros in
/// gradients that came back; else the bits of `expected`.
template <class T>
int wrong(std::vector<std::pair<Part, Buffer<T>>> const& now,
          std::vector<std::pair<Part, Buffer<T>>> const& expected, Parts away, bool zeroed) {
  int count = 0;
  for (std::size_t i = 0; i < now.size(); ++i) {
    Part const part = now[i].first;
    std::size_t const size = expected[i].second.size();
    if (away.has(part)) {
      count += now[i].second.size() == 0 ? 0 : 1;
    } else if (part == Part::gradient_buffers && zeroed) {
      count += now[i].second.size() == size ? 0 : 1;
      for (std::size_t e = 0; e < now[i].second.size(); ++e) {
        count += now[i].second.data()[e] == T{} ? 0 : 1;
      }
    } else {
      count += now[i].second == expected[i].second ? 0 : 1;
    }
  }
  return count;
}

}  // namespace

TEST_CASE("parts are on one side each and keep their bits, through failures, too") {
  int failures = 0;
  int moves = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    cases::Dice dice(seed);
    Model model;
    for (int i = dice.between(0, 12); i > 0; --i) {
      Part const part = static_cast<Part>(dice.between(0, runtime::part_count - 1));
      auto const size = static_cast<std::size_t>(dice.between(0, 40));
      if (dice.one_in(2)) {
        model.floats.emplace_back(part, Buffer<float>(size));
      } else {
        model.halves.emplace_back(part, Buffer<std::uint16_t>(size));
      }
    }
    for (auto& [part, buffer] : model.floats) {
      for (std::size_t i = 0; i < buffer.size(); ++i) {
        buffer.data()[i] = static_cast<float>(dice.between(1, 1'000'000));
      }
    }
    for (auto& [part, buffer] : model.halves) {
      for (std::size_t i = 0; i < buffer.size(); ++i) {
        buffer.data()[i] = static_cast<std::uint16_t>(dice.between(1, 65'535));
      }
    }
    auto const floats = model.floats;
    auto const halves = model.halves;
    Parts away;
    bool zeroed = false;
    for (int step = 0; step < 12; ++step) {
      Parts const parts = some_parts(dice);
      bool const out = dice.one_in(2);
      failing_in = dice.one_in(3) ? dice.between(1, 8) : 0;
      runtime::OffloadReport report;
      bool failed = false;
      try {
        report = out ? runtime::offload(model, parts) : runtime::onload(model, parts);
      } catch (rlhf::Error const& error) {
        failed = true;
        ++failures;
        std::string const text(error.what());
        CHECK(text.find(out ? "offload of " : "onload of ") != std::string::npos);
        CHECK(text.find("on the host: " + to_string(model.offloader().away())) !=
              std::string::npos);
      }
      failing_in = 0;
      Parts const now = model.offloader().away();
      if (failed) {  // some of the parts asked for, and no others, may have moved
        CHECK(now.without(away).without(parts).empty());
        CHECK(away.without(now).without(parts).empty());
      } else {
        CHECK(now == (out ? away | parts : away.without(parts)));
        CHECK(report.moved == (out ? parts.without(away) : parts & away));
        ++moves;
      }
      zeroed = zeroed || (now | away).has(Part::gradient_buffers);
      away = now;
      CHECK(wrong(model.floats, floats, away, zeroed) == 0);
      CHECK(wrong(model.halves, halves, away, zeroed) == 0);
      std::int64_t on_device = 0;
      for (runtime::PartMemory const& row : runtime::memory_rows(model)) {
        CHECK(row.where == (away.has(row.part) ? Residence::host : Residence::device));
        CHECK((row.device_bytes == 0 || row.away_bytes == 0));
        on_device += row.device_bytes + row.away_bytes;
      }
      std::size_t all = 0;
      for (auto const& [part, buffer] : floats) {
        all += buffer.size() * sizeof(float);
      }
      for (auto const& [part, buffer] : halves) {
        all += buffer.size() * sizeof(std::uint16_t);
      }
      CHECK(on_device == static_cast<std::int64_t>(all));
    }
  }
  CHECK(failures > 50);
  CHECK(moves > 500);
}

namespace {

template <Layout layout>
struct Synced : rlhf::Module<rlhf::Grid<layout>, sync::Reshard<>>, runtime::Offloadable<> {
  using rlhf::Module<rlhf::Grid<layout>, sync::Reshard<>>::Module;
  static constexpr int rows = 12 / layout.tensor;
  std::vector<float> weight = std::vector<float>(this->present() ? rows * 4 : 0, -1.0F);
  std::vector<float> gradients = std::vector<float>(weight.size(), 2.0F);

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", rlhf::view(weight, {rows, 4}), rlhf::shard::rows());
  }
  template <class Visit>
  void memory(Visit&& visit) {
    visit(Part::weights, "weight", weight);
    visit(Part::gradient_buffers, "gradients", gradients);
  }
  [[nodiscard]] float value(std::size_t i, int version) const {
    return static_cast<float>(1000 * version + this->coordinate().tensor * rows * 4) +
           static_cast<float>(i);
  }
};

}  // namespace

TEST_CASE("colocated modules take turns on the device, with syncs between") {
  std::atomic<int> wrong{0};
  std::atomic<int> refused{0};
  ranks::WorldEnd const end = ranks::run_world(6, [&](rlhf::comm::Local& world) {
    Synced<Layout{.tensor = 2, .data = 3}> actor(Mesh::range(0, 6), world.rank());
    Synced<Layout{.tensor = 3, .data = 2}> generator(Mesh::range(0, 6), world.rank());
    sync::Link link(world, actor, generator);
    auto const refuses = [&](auto&& call, std::string const& text) {
      try {
        call();
        ++wrong;
      } catch (rlhf::Error const& error) {
        wrong += std::string(error.what()).find(text) != std::string::npos &&
                         error.code() == rlhf::Errc::invalid_argument &&
                         error.rank() == world.rank()
                     ? 0
                     : 1;
        ++refused;
      }
    };
    for (int version = 1; version <= 3; ++version) {
      runtime::offload(generator);
      for (std::size_t i = 0; i < actor.weight.size(); ++i) {
        actor.weight[i] = actor.value(i, version);
      }
      refuses([&] { link.sync(rlhf::Version{9}); },
              "the weights of the destination are offloaded; bring them back first");
      runtime::offload(actor, Part::gradient_buffers);
      runtime::onload(generator);
      refuses([&] { link.sync(rlhf::Version{9}); },
              "the weights of the destination were offloaded and came back to other memory");
      refuses([&] { link.verify(); }, "link.rebind(sync::Contents::kept)");
      link.rebind(sync::Contents::kept);
      link.sync(rlhf::Version{version});
      runtime::offload(actor);
      refuses([&] { link.verify(); }, "the weights of the source are offloaded");
      refuses([&] { sync::Link other(world, actor, generator); }, "are offloaded");
      wrong += link.fingerprints(sync::Side::destination).size() == 1 ? 0 : 1;
      link.rebind(sync::Contents::kept);  // while the source is away: only the destination is bound
      for (std::size_t i = 0; i < generator.weight.size(); ++i) {
        wrong += generator.weight[i] == generator.value(i, version) ? 0 : 1;
      }
      runtime::onload(actor);
      refuses([&] { link.sync(rlhf::Version{9}); }, "the weights of the source were offloaded");
      link.rebind(sync::Contents::kept);
      link.verify();
      wrong += link.version() == rlhf::Version{version} ? 0 : 1;
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(wrong == 0);
  CHECK(refused == 6 * 3 * 6);
}

TEST_CASE("ranks outside a module's mesh may offload it, and link it") {
  ranks::WorldEnd const end = ranks::run_world(3, [&](rlhf::comm::Local& world) {
    Synced<Layout{.tensor = 2}> actor(Mesh::range(0, 2), world.rank());
    Synced<Layout{}> generator(Mesh::range(2, 1), world.rank());
    if (!actor.present()) {
      runtime::offload(actor);
    }
    sync::Link link(world, actor, generator);
    link.sync(rlhf::Version{1});
    link.verify();
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}
