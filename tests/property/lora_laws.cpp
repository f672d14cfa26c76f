// Adapters of low rank: A and B of a layer each cut by its own rule, alone or with the layer.
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/fused.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/lora.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/runtime/lora.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
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

namespace {

using rlhf::Adapter;
using rlhf::Holding;
using rlhf::TensorView;
using rlhf::fused::QkvOrder;
namespace runtime = rlhf::runtime;

/// What an element is; the factors A of tensors that are fused somewhere are one.
float canonical(std::string name, std::int64_t element) {
  if (name.ends_with("lora_A.weight")) {
    for (char const* const part : {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"}) {
      std::size_t const at = name.find(part);
      name = at == std::string::npos ? name : name.substr(0, at);
    }
  }
  std::uint64_t const word =
      rlhf::Fingerprint().add(name).add(static_cast<std::uint64_t>(element)).value();
  return static_cast<float>(static_cast<int>(word % 17) - 8);
}

/// All kinds of tensors that have adapters, fused ones in either order.
struct Network : rlhf::Module<rlhf::RuntimeGrid, sync::Reshard<>>, runtime::Adapted<> {
  static constexpr std::int64_t hidden = 8;
  static constexpr std::int64_t inter = 24;
  static constexpr std::int64_t experts = 4;
  static constexpr rlhf::fused::Heads heads{24, 2, 2};
  static constexpr int dim = 3;
  struct Tensor {
    std::vector<float> weight;
    std::vector<float> a;
    std::vector<float> b;
    Shape shape{};
    [[nodiscard]] TensorView view() { return rlhf::view(weight, shape); }
    [[nodiscard]] Adapter adapter() {
      Shape of_a = shape;
      Shape of_b = shape;
      of_a[shape.rank() - 2] = dim;
      of_b[shape.rank() - 1] = dim;
      return {.a = rlhf::view(a, of_a), .b = rlhf::view(b, of_b)};
    }
  };
  Tensor qkv, output, gate_up, down, embedding, w13, w2;
  std::vector<int> own_experts;
  bool lists_factors = true;

  QkvOrder order;

  Network(Mesh mesh, int rank, Layout const& spread, QkvOrder of)
      : Module(std::move(mesh), rank, spread),
        order(of) {
    runtime::LoraOptions options;
    options.lora_dim = dim;
    options.lora_scaling = 0.75;  // scale 1 / 4: exact
    lora().configure(options);
    if (!present()) {
      return;
    }
    std::int64_t const ranks = layout().tensor;
    std::int64_t const groups = heads.key_value < ranks ? 1 : heads.key_value / ranks;
    make(qkv, {(heads.query / ranks + 2 * groups) * heads.rows, hidden});
    make(output,
         output_rule().of({hidden, heads.query * heads.rows}).local_shape(layout(), coordinate()));
    make(gate_up, {2 * inter / ranks, hidden});
    make(down, {hidden, inter / ranks});
    make(embedding, {16 / ranks + 1, hidden});
    std::int64_t const slots = experts / layout().expert;
    make(w13, {slots, 2 * inter / ranks, hidden});
    make(w2, {slots, hidden, inter / ranks});
    for (int slot = 0; slot < slots; ++slot) {
      own_experts.push_back(static_cast<int>(slots) * coordinate().expert + slot);
    }
  }
  static void make(Tensor& tensor, Shape const& local) {
    tensor.shape = local;
    tensor.weight.assign(static_cast<std::size_t>(rlhf::element_count(local)), -99.0F);
    std::int64_t const matrices = local.rank() == 3 ? local[0] : 1;
    tensor.a.assign(static_cast<std::size_t>(matrices * dim * local[local.rank() - 1]), -99.0F);
    tensor.b.assign(static_cast<std::size_t>(matrices * dim * local[local.rank() - 2]), -99.0F);
  }
  /// Columns over tensor ranks, then rows over FSDP ranks.
  static rlhf::Shard output_rule() {
    return shard::columns().then(rlhf::Axis::sharded, 0).of({hidden, heads.query * heads.rows});
  }
  template <class Visit, class List>
  void one(Visit& visit, Tensor& tensor, List&& list) {
    if (lists_factors) {
      rlhf::lora::parameters(visit, tensor.view(), tensor.adapter(), list);
    } else {
      list(visit);
    }
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    std::int64_t const half = inter / layout().tensor;
    one(visit, qkv, [&](auto&& each) {
      rlhf::fused::qkv(each, qkv.view(), {"q_proj.weight", "k_proj.weight", "v_proj.weight"}, heads,
                       layout().tensor, order);
    });
    one(visit, output, [&](auto&& each) { each("o_proj.weight", output.view(), output_rule()); });
    one(visit, gate_up, [&](auto&& each) {
      rlhf::fused::rows(each, gate_up.view(),
                        {{"gate_proj.weight", half}, {"up_proj.weight", half}});
    });
    one(visit, down, [&](auto&& each) { each("down_proj.weight", down.view(), shard::columns()); });
    one(visit, embedding,
        [&](auto&& each) { each("embed.weight", embedding.view(), shard::padded(0, 15)); });
    auto const name = [](int expert) { return "experts." + std::to_string(expert) + "."; };
    one(visit, w13, [&](auto&& each) {
      rlhf::fused::expert_rows(each, w13.view(), name, own_experts,
                               {{"gate_proj.weight", half}, {"up_proj.weight", half}});
    });
    one(visit, w2, [&](auto&& each) {
      rlhf::fused::experts(
          each, w2.view(), [&](int expert) { return name(expert) + "down_proj.weight"; },
          own_experts, shard::columns());
    });
  }
  template <class Visit>
  void adapters(Visit&& visit) {
    if (!present()) {
      return;
    }
    for (Tensor* tensor : {&qkv, &output, &gate_up, &down, &embedding, &w13, &w2}) {
      visit("tensor", tensor->view(), tensor->adapter());
    }
  }

  /// Calls `visit(name, element of the global tensor, global shape, element here)` for all of them.
  template <class Visit>
  void each_element(Visit&& visit) {
    parameters([&](std::string_view name, TensorView const& view, auto const& rule) {
      Holding const holding = rule.holding(view.shape, layout(), coordinate());
      for (rlhf::HeldBox const& held : holding.boxes) {
        for (std::int64_t r = 0; r < held.box.extent[0]; ++r) {
          for (std::int64_t c = 0; c < held.box.extent[1]; ++c) {
            visit(std::string(name),
                  (held.box.start[0] + r) * holding.global[1] + held.box.start[1] + c,
                  holding.global,
                  static_cast<float*>(view.data)[(held.local_start[0] + r) * view.strides[0] +
                                                 held.local_start[1] + c]);
          }
        }
      }
    });
  }
  void fill() {
    each_element([](std::string const& name, std::int64_t element, Shape const&, float& here) {
      here = canonical(name, element);
    });
  }
  /// Elements that are wrong where the adapters are in the weights, or are not.
  [[nodiscard]] int wrong(bool fused, int& seen) {
    int count = 0;
    each_element([&](std::string const& name, std::int64_t element, Shape const& global,
                     float const& here) {
      float expected = canonical(name, element);
      if (fused && !rlhf::lora::is_factor(name)) {
        std::int64_t const row = element / global[1];
        std::int64_t const column = element % global[1];
        for (int k = 0; k < dim; ++k) {
          expected += 0.25F * canonical(rlhf::lora::name_of(name, rlhf::Factor::b), row * dim + k) *
                      canonical(rlhf::lora::name_of(name, rlhf::Factor::a), k * global[1] + column);
        }
      }
      count += here == expected ? 0 : 1;
      ++seen;
    });
    return count;
  }
};

void check_network(Layout const& source, Layout const& destination) {
  int const sources = source.ranks();
  int const destinations = destination.ranks();
  std::atomic<int> wrong{0};
  std::atomic<int> seen{0};
  ranks::WorldEnd const end =
      ranks::run_world(sources + destinations, [&](rlhf::comm::Local& world) {
        Network from(Mesh::range(0, sources), world.rank(), source, QkvOrder::interleaved);
        Network to(Mesh::range(sources, destinations), world.rank(), destination,
                   QkvOrder::concatenated);
        int count = 0;
        auto const expect = [&](auto& model, bool fused) {
          wrong += model.present() ? model.wrong(fused, count) : 0;
        };
        if (from.present()) {
          from.fill();
        }
        to.lists_factors = false;
        {  // the destination has no adapters: it sees what is in the weights
          sync::Link link(world, from, to);
          runtime::with_fused_lora(from, [&] {
            link.sync(rlhf::Version{1});
            link.verify();
          });
          expect(to, true);
          link.sync(rlhf::Version{2});
          expect(to, false);
        }
        to.lists_factors = true;
        sync::LinkOptions adapters;
        adapters.wanted = rlhf::lora::is_factor;
        sync::Link link(world, from, to, adapters);
        std::vector<float> const before = to.qkv.weight;
        link.sync(rlhf::Version{3});
        link.verify();
        wrong += to.qkv.weight == before ? 0 : 1;
        expect(to, false);
        runtime::fuse_lora(to);  // with the factors that came
        expect(to, true);
        runtime::unfuse_lora(to);
        expect(to, false);
        seen += count;
      });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(wrong == 0);
  CHECK(seen > 1000);
}

}  // namespace

TEST_CASE("adapters of fused tensors, vocabularies, experts, FSDP chunks: fused, or alone") {
  check_network({.tensor = 2}, {.tensor = 1});
  check_network({.tensor = 1, .fsdp = 3}, {.tensor = 2, .expert = 2});
  check_network({.tensor = 4, .expert = 2}, {.tensor = 2, .data = 2});
  check_network({.tensor = 2, .expert = 4}, {.tensor = 8});
}

TEST_CASE("the start of A: every rank makes its part of one tensor, uniform below 1 / sqrt(in)") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    cases::Dice dice(seed);
    int const tensor = dice.pick({1, 2, 4});
    Layout const layout{.tensor = tensor, .fsdp = dice.pick({1, 3})};
    std::int64_t const columns = 4 * dice.between(1, 5);
    std::int64_t const dim = dice.between(1, 6);
    bool const by_columns = dice.one_in(2);
    rlhf::Shard rule = by_columns ? shard::columns() : shard::rows();
    rule = rule.then(rlhf::Axis::sharded, dice.between(0, 1)).of({8, columns});
    auto const whole = [&] {
      std::vector<float> out(static_cast<std::size_t>(dim * columns), 5.0F);
      rlhf::lora::fill_a(rlhf::view(out, {dim, columns}),
                         shard::lora_a(shard::replicated(), {8, columns})
                             .holding({dim, columns}, Layout{}, rlhf::Coordinate{}),
                         seed, "up.lora_A.weight");
      return out;
    }();
    float largest = 0;
    for (float const value : whole) {
      largest = std::max(largest, value < 0 ? -value : value);
    }
    float const bound = 1.0F / std::sqrt(static_cast<float>(columns));
    CHECK(largest < bound * 1.0001F);
    CHECK((whole.size() < 20 || largest > bound / 2));
    for (int rank = 0; rank < layout.ranks(); ++rank) {
      rlhf::Coordinate const at = layout.coordinate(rank);
      Shape const weight = rule.local_shape(layout, at);
      Shape const local{dim, weight[1]};
      Holding const holding = shard::lora_a(rule, weight).holding(local, layout, at);
      std::vector<float> mine(static_cast<std::size_t>(rlhf::element_count(local)), 5.0F);
      rlhf::lora::fill_a(rlhf::view(mine, local), holding, seed, "up.lora_A.weight");
      int wrong = 0;
      std::size_t held_elements = 0;
      for (rlhf::HeldBox const& held : holding.boxes) {
        for (std::int64_t k = 0; k < dim; ++k) {
          for (std::int64_t c = 0; c < held.box.extent[1]; ++c) {
            ++held_elements;
            wrong += mine[static_cast<std::size_t>(k * local[1] + held.local_start[1] + c)] ==
                             whole[static_cast<std::size_t>(k * columns + held.box.start[1] + c)]
                         ? 0
                         : 1;
          }
        }
      }
      CHECK(wrong == 0);
      CHECK((held_elements == mine.size() || weight[0] == 0));
    }
  }
}
