// Adapters of low rank: A and B of a layer each cut by its own rule, alone or with the layer.
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/sync_model.hpp"
#include "ranks/world.hpp"

namespace {

namespace sync = rlhf::sync;
namespace shard = rlhf::shard;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Shape;

/// One layer cut by rows (its B is cut with it, its A whole), one by columns (its A is cut, B
/// whole).
struct Entry {
  char const* name;
  Shape global;
  int dimension;  // that is cut; -1: none
};
constexpr int low_rank = 3;
Entry const entries[] = {{"up.weight", {24, 8}, 0},          {"up.lora_A", {low_rank, 8}, -1},
                         {"up.lora_B", {24, low_rank}, 0},   {"down.weight", {8, 24}, 1},
                         {"down.lora_A", {low_rank, 24}, 1}, {"down.lora_B", {8, low_rank}, -1}};

template <Layout layout>
struct Adapted : rlhf::Module<rlhf::Grid<layout>, sync::Reshard<>> {
  Adapted(Mesh mesh, int rank) : rlhf::Module<rlhf::Grid<layout>, sync::Reshard<>>(mesh, rank) {
    for (Entry const& entry : entries) {
      Shape local = entry.global;
      if (entry.dimension >= 0) {
        local[entry.dimension] /= layout.tensor;
      }
      shapes.push_back(local);
      memory.emplace_back(static_cast<std::size_t>(rlhf::element_count(local)), -1.0F);
    }
    own = mesh.rank_of(rank);
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (std::size_t p = 0; p < memory.size(); ++p) {
      int const dimension = entries[p].dimension;
      visit(std::string(entries[p].name), rlhf::view(memory[p], shapes[p]),
            dimension < 0    ? shard::replicated()
            : dimension == 0 ? shard::rows()
                             : shard::columns());
    }
  }
  /// What element `i` of a parameter is, of which the rank holds a part.
  [[nodiscard]] float value(std::size_t p, std::size_t i) const {
    auto const row = static_cast<int>(i) / static_cast<int>(shapes[p][1]);
    auto const column = static_cast<int>(i) % static_cast<int>(shapes[p][1]);
    int const first[] = {entries[p].dimension == 0 ? own * static_cast<int>(shapes[p][0]) : 0,
                         entries[p].dimension == 1 ? own * static_cast<int>(shapes[p][1]) : 0};
    return static_cast<float>(10000 * (static_cast<int>(p) + 1) + 100 * (first[0] + row) +
                              first[1] + column);
  }
  std::vector<Shape> shapes;
  std::vector<std::vector<float>> memory;
  int own = -1;  // module rank: the tensor rank
};

template <int Source, int Destination>
void check(bool only_adapters) {
  constexpr Layout source{.tensor = Source};
  constexpr Layout destination{.tensor = Destination};
  std::atomic<int> wrong{0};
  std::atomic<int> seen{0};
  ranks::WorldEnd const end = ranks::run_world(Source + Destination, [&](rlhf::comm::Local& world) {
    Adapted<source> from(Mesh::range(0, Source), world.rank());
    Adapted<destination> to(Mesh::range(Source, Destination), world.rank());
    sync::LinkOptions options;
    if (only_adapters) {
      options.only = {"*.lora_*"};
    }
    sync::Link link(world, from, to, options);
    for (std::size_t p = 0; from.own >= 0 && p < from.memory.size(); ++p) {
      for (std::size_t i = 0; i < from.memory[p].size(); ++i) {
        from.memory[p][i] = from.value(p, i);
      }
    }
    link.sync(rlhf::Version{1});
    link.verify();
    for (std::size_t p = 0; to.own >= 0 && p < to.memory.size(); ++p) {
      bool const moved =
          !only_adapters || std::string(entries[p].name).find("lora") != std::string::npos;
      for (std::size_t i = 0; i < to.memory[p].size(); ++i) {
        wrong += to.memory[p][i] == (moved ? to.value(p, i) : -1.0F) ? 0 : 1;
        ++seen;
      }
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(wrong == 0);
  CHECK(seen > 0);
}

}  // namespace

TEST_CASE(
    "adapters: A whole and B cut by rows, A cut by columns and B whole, over any tensor sizes") {
  for (bool const only_adapters : {true, false}) {
    CAPTURE(only_adapters);
    check<1, 2>(only_adapters);
    check<2, 4>(only_adapters);
    check<4, 2>(only_adapters);
    check<4, 3>(only_adapters);
    check<3, 8>(only_adapters);
  }
}
