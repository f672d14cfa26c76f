// Pipelines of any kind on both sides: interleaved (virtual) stages to uneven ones, and back.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/stages.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Stages;
using rlhf::comm::Local;

namespace {

namespace sync = rlhf::sync;

constexpr int layers = 16;

/// Layers of 4 x 6, cut by rows over two tensor ranks, in the stages of a map.
template <Layout L>
struct Pipelined : rlhf::Module<rlhf::Grid<L>, sync::Reshard<rlhf::Bytes{256}>> {
  struct Layer {
    int number;
    std::vector<float> weight;
  };
  Pipelined(Mesh mesh, int rank, Stages const& stages)
      : rlhf::Module<rlhf::Grid<L>, sync::Reshard<rlhf::Bytes{256}>>(std::move(mesh), rank) {
    if (this->present()) {
      for (int const layer : stages.layers_of(this->coordinate().pipeline)) {
        held.push_back({layer, std::vector<float>(24 / L.tensor, -1)});
      }
    }
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (Layer& layer : held) {
      visit("layers." + std::to_string(layer.number), rlhf::view(layer.weight, {4 / L.tensor, 6}),
            rlhf::shard::rows());
    }
  }
  /// The value of an element, by its place in the whole model.
  template <class Body>
  void each(Body&& body) {
    for (Layer& layer : held) {
      int const first = this->coordinate().tensor * (24 / L.tensor);
      for (std::size_t i = 0; i < layer.weight.size(); ++i) {
        body(layer.weight[i], static_cast<float>(layer.number * 100 + first + static_cast<int>(i)));
      }
    }
  }
  std::deque<Layer> held;
};

template <Layout From, Layout To>
void check(Stages const& from_stages, Stages const& to_stages) {
  int const source = From.ranks();
  int const destination = To.ranks();
  rlhf::comm::run_local(source + destination, [&](Local world) {
    Pipelined<From> from(Mesh::range(0, source), world.rank(), from_stages);
    Pipelined<To> to(Mesh::range(source, destination), world.rank(), to_stages);
    sync::Link link(world, from, to);
    CHECK(link.plan().bytes_moved == link.plan().bytes_needed);
    CHECK(link.plan().bytes_moved == layers * 24 * 4 * To.data);
    from.each([](float& element, float value) { element = value; });
    link.sync(rlhf::Version{1});
    link.verify();
    bool right = true;
    to.each([&](float const& element, float value) { right = right && element == value; });
    CHECK(right);
  });
}

constexpr Layout four{.tensor = 2, .pipeline = 4};
constexpr Layout three{.pipeline = 3, .data = 2};

}  // namespace

TEST_CASE("four stages of two chunks each to three uneven stages, and back") {
  Stages const interleaved = Stages::interleaved(layers, 4, 2);
  Stages const uneven = Stages::uneven({3, 9, 4});
  check<four, three>(interleaved, uneven);
  check<three, four>(uneven, interleaved);
}

TEST_CASE("any map of layers to stages") {
  std::vector<int> scattered;
  std::vector<int> backwards;
  for (int layer = 0; layer < layers; ++layer) {
    scattered.push_back(layer * 7 % 4);
    backwards.push_back((layers - 1 - layer) / 6);
  }
  check<four, three>(Stages::map(scattered, 4), Stages::map(backwards, 3));
}
