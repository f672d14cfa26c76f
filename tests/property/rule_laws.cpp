// Laws of rules: heads, paddings, uneven and flat shards, expert tables, rules on other layouts,
// interleaved rows: alone, composed, planned and synced, against slicing element by element.
#include <rlhf/parallel/experts.hpp>
#include <rlhf/parallel/flat.hpp>
#include <rlhf/parallel/fused.hpp>
#include <rlhf/parallel/on_layout.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/parallel/uneven.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/minimum.hpp>
#include <rlhf/plan/proof.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"
#include "ranks/world.hpp"

using cases::Dice;
using rlhf::Axis;
using rlhf::Coordinate;
using rlhf::HeldBox;
using rlhf::Holding;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Shape;
namespace plan = rlhf::plan;
namespace shard = rlhf::shard;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;  // here, because <unistd.h> has a function of that name

using Elements = std::vector<std::int64_t>;

/// Any rule, as a user might write it.
struct AnyRule {
  std::function<Holding(Shape const&, Layout const&, Coordinate const&)> of;
  std::function<Shape(Layout const&, Coordinate const&)> shape;

  AnyRule() = default;
  template <rlhf::SizedShardRule Rule>
  AnyRule(Rule const& rule)  // NOLINT: implicit
      : of([rule](auto const&... arguments) { return rule.holding(arguments...); }),
        shape([rule](auto const&... arguments) { return rule.local_shape(arguments...); }) {}

  [[nodiscard]] Holding holding(Shape const& local, Layout const& layout,
                                Coordinate const& at) const {
    return of(local, layout, at);
  }
  [[nodiscard]] Shape local_shape(Layout const& layout, Coordinate const& at) const {
    return shape(layout, at);
  }
};

/// One parameter on one rank: the rule, the shape of the rank's tensor, and the global element of
/// each of its elements; -1 where none.
struct Part {
  AnyRule rule;
  Shape local{};
  Elements elements;
  bool flat = false;
  bool derived = false;  ///< The rule knows the shape only from the rank's tensor.
};

/// The elements of lists of indices, one list a dimension; -1 in a list: no element.
Elements elements_of(Shape const& global, cases::Lists const& lists) {
  Elements out{0};
  for (int d = 0; d < global.rank(); ++d) {
    Elements next;
    for (std::int64_t const before : out) {
      for (std::int64_t const index : lists[static_cast<std::size_t>(d)]) {
        next.push_back(before < 0 || index < 0 ? -1 : before * global[d] + index);
      }
    }
    out = next;
  }
  return out;
}

std::vector<std::int64_t> counting(std::int64_t count) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < count; ++i) {
    out.push_back(i);
  }
  return out;
}
/// Elements [begin, end) of a list; those that there are.
Elements section(Elements const& list, std::int64_t begin, std::int64_t end) {
  Elements out;
  for (std::int64_t i = begin; i < end && i < std::ssize(list); ++i) {
    out.push_back(list[static_cast<std::size_t>(i)]);
  }
  return out;
}
Elements chunk(Elements const& list, std::int64_t parts, std::int64_t index) {
  std::int64_t const size = (std::ssize(list) + parts - 1) / parts;
  return section(list, index * size, (index + 1) * size);
}

/// A table of experts, some of them redundant, none twice on a rank.
std::vector<int> random_table(Dice& dice, int experts, int ranks) {
  int const least = (experts + ranks - 1) / ranks;
  int const slots = std::min(experts, least + dice.between(0, 2));
  std::vector<int> table;
  for (int i = 0; i < slots * ranks; ++i) {
    table.push_back(i % experts);
  }
  std::vector<int> names;
  for (int i = 0; i < experts; ++i) {
    names.push_back(i);
  }
  if (!dice.one_in(3)) {
    dice.shuffle(names);
  }
  for (int& expert : table) {
    expert = names[static_cast<std::size_t>(expert)];
  }
  return table;
}

/// How a parameter lies on each rank of a layout: a random rule, and the elements by our words.
/// `counts` says what came up.
std::vector<Part> random_parts(Dice& dice, Shape const& global, Layout const& layout,
                               std::map<std::string, int>& counts) {
  bool const flat = dice.one_in(2);
  int const fsdp = layout.fsdp;
  for (;;) {
    int const d = dice.between(0, global.rank() - 1);
    auto const at_d = static_cast<std::size_t>(d);
    std::int64_t const extent = global[d];
    int const kind = dice.between(0, 6);
    bool const twice = !flat && dice.one_in(3);  // an FSDP cut after it
    int const e = dice.between(0, global.rank() - 1);
    int const tp = layout.tensor;
    std::string name;
    AnyRule rule;
    std::function<void(cases::Lists&, Coordinate const&)> cut;
    bool derived = false;
    auto const finish = [&](auto made) {
      rule = twice ? AnyRule(made.then(Axis::sharded, e).of(global)) : AnyRule(made.of(global));
    };
    if (kind == 0) {
      name = "heads";
      int const heads = dice.pick({1, 2, 3, 4, 6, 12});
      if (extent % heads != 0 || (heads % tp != 0 && tp % heads != 0)) {
        continue;
      }
      name += heads < tp ? " fewer" : "";
      finish(shard::heads(d, heads));
      cut = [=](cases::Lists& lists, Coordinate const& at) {
        std::int64_t const rows = extent / heads;
        std::int64_t const first = at.tensor * heads / tp;  // the first head
        std::int64_t const count = heads < tp ? 1 : heads / tp;
        lists[at_d] = section(lists[at_d], first * rows, (first + count) * rows);
      };
    } else if (kind == 1) {
      name = "padded";
      std::int64_t const share = (extent + tp - 1) / tp + dice.between(0, 3);
      bool const says = flat || twice || dice.one_in(2);
      derived = !says;
      finish(shard::padded(d, extent, says ? share * tp : 0));
      cut = [=](cases::Lists& lists, Coordinate const& at) {
        for (std::int64_t pad = extent; pad < share * tp; ++pad) {
          lists[at_d].push_back(-1);
        }
        lists[at_d] = section(lists[at_d], at.tensor * share, (at.tensor + 1) * share);
      };
    } else if (kind == 2) {
      name = "uneven";
      Axis const axis = dice.pick({Axis::tensor, Axis::expert});
      std::vector<std::int64_t> borders{0, extent};
      for (int i = 1; i < layout.size(axis); ++i) {
        borders.push_back(dice.between(0, static_cast<int>(extent)));
      }
      std::sort(borders.begin(), borders.end());
      std::vector<std::int64_t> sizes;
      for (std::size_t i = 1; i < borders.size(); ++i) {
        sizes.push_back(borders[i] - borders[i - 1]);
      }
      finish(shard::uneven(axis, d, sizes));
      cut = [=](cases::Lists& lists, Coordinate const& at) {
        auto const i = static_cast<std::size_t>(axis == Axis::tensor ? at.tensor : at.expert);
        lists[at_d] = section(lists[at_d], borders[i], borders[i + 1]);
      };
    } else if (kind == 3) {
      name = "experts";
      std::vector<int> const table = random_table(dice, static_cast<int>(global[0]), layout.expert);
      finish(shard::experts(table));
      name += std::ssize(table) > global[0] ? " redundant" : "";
      cut = [=](cases::Lists& lists, Coordinate const& at) {
        std::int64_t const slots = std::ssize(table) / layout.expert;
        lists[0] = section(Elements(table.begin(), table.end()), at.expert * slots,
                           (at.expert + 1) * slots);
      };
    } else if (kind == 4) {
      name = "on";
      Layout inner = layout;
      inner.tensor = dice.one_in(2) ? layout.tensor * layout.expert : 1;
      inner.expert = layout.tensor * layout.expert / inner.tensor;
      if (extent % inner.tensor != 0) {
        continue;
      }
      rule = shard::on(inner, shard::split(Axis::tensor, d).of(global));
      cut = [=](cases::Lists& lists, Coordinate const& at) {
        std::int64_t const share = extent / inner.tensor;
        std::int64_t const i = inner.coordinate(layout.rank(at)).tensor;
        lists[at_d] = section(lists[at_d], i * share, (i + 1) * share);
      };
    } else if (kind == 5) {
      name = "interleaved";
      int const heads = dice.pick({1, 2, 3, 4, 6, 12});
      if (global[0] % heads != 0 || (heads % tp != 0 && tp % heads != 0)) {
        continue;
      }
      std::int64_t const groups = heads < tp ? 1 : heads / tp;
      std::int64_t const rows = global[0] / heads;
      std::int64_t const before = dice.between(0, 2);
      std::int64_t const after = dice.between(0, 2);
      rule = rlhf::InterleavedShard<rlhf::Shard>{shard::heads(0, heads).of(global), groups,
                                                 before + rows + after, before, rows};
      cut = [=](cases::Lists& lists, Coordinate const& at) {
        std::int64_t const first = at.tensor * heads / tp;
        Elements out;
        for (std::int64_t group = 0; group < groups; ++group) {
          out.insert(out.end(), static_cast<std::size_t>(before), -1);
          for (std::int64_t row = 0; row < rows; ++row) {
            out.push_back((first + group) * rows + row);
          }
          out.insert(out.end(), static_cast<std::size_t>(after), -1);
        }
        lists[0] = out;
      };
    } else {
      name = "even";
      if (extent % tp != 0) {
        continue;
      }
      finish(shard::split(Axis::tensor, d));
      cut = [=](cases::Lists& lists, Coordinate const& at) {
        lists[at_d] = chunk(lists[at_d], tp, at.tensor);
      };
    }
    ++counts[name];
    bool const fsdp_cut = twice && kind != 4 && kind != 5;
    int const flat_kind = flat ? dice.between(1, 3) : 0;
    std::uint64_t const salt = dice.word();
    counts[flat_kind == 0 ? (fsdp_cut ? "twice" : "once") : "flat"]++;
    std::vector<Part> parts;
    for (int rank = 0; rank < layout.ranks(); ++rank) {
      Coordinate const at = layout.coordinate(rank);
      cases::Lists lists;
      for (int i = 0; i < global.rank(); ++i) {
        lists.push_back(counting(global[i]));
      }
      cut(lists, at);
      if (fsdp_cut) {
        auto& list = lists[static_cast<std::size_t>(e)];
        list = chunk(list, fsdp, at.sharded);
      }
      Part part{rule, cases::shape_of(lists), elements_of(global, lists), flat, derived};
      auto const n = static_cast<std::int64_t>(part.elements.size());
      Dice own(salt);  // the same on all ranks
      std::int64_t const room = own.between(0, 5);
      std::int64_t const start = own.between(0, 40);
      if (flat_kind == 1) {
        part.rule.of = [flat_rule = shard::flat(rule)](auto const&... arguments) {
          return flat_rule.holding(arguments...);
        };
        part.elements = chunk(part.elements, fsdp, at.sharded);
      } else if (flat_kind == 2) {
        std::int64_t const unit = start + n + own.between(0, 40);
        part.rule.of = [flat_rule = shard::flat_in_unit(rule, start, unit)](
                           auto const&... arguments) { return flat_rule.holding(arguments...); };
        Elements all(static_cast<std::size_t>(start), -1);
        all.insert(all.end(), part.elements.begin(), part.elements.end());
        all.resize(static_cast<std::size_t>(unit), -1);
        part.elements = chunk(all, fsdp, at.sharded);
      } else if (flat_kind == 3) {
        std::vector<std::int64_t> borders{0, n};
        for (int i = 1; i < fsdp; ++i) {
          borders.push_back(own.between(0, static_cast<int>(n)));
        }
        std::sort(borders.begin(), borders.end());
        std::int64_t const begin = borders[static_cast<std::size_t>(at.sharded)];
        std::int64_t const end = borders[static_cast<std::size_t>(at.sharded) + 1];
        part.rule.of = [flat_rule = shard::flat_range(rule, begin, end - begin, start)](
                           auto const&... arguments) { return flat_rule.holding(arguments...); };
        Elements all(static_cast<std::size_t>(start), -1);
        Elements const mine = section(part.elements, begin, end);
        all.insert(all.end(), mine.begin(), mine.end());
        part.elements = all;
      }
      if (flat_kind != 0) {
        part.elements.resize(part.elements.size() + static_cast<std::size_t>(room), -1);
        part.local = {std::ssize(part.elements)};
      }
      parts.push_back(part);
    }
    return parts;
  }
}

/// The global element of each local one by a holding: -1 where no box has it, -2 where two have.
/// Empty where a box leaves either tensor.
Elements by_boxes(Holding const& holding, Shape const& local) {
  Elements out(static_cast<std::size_t>(rlhf::element_count(local)), -1);
  for (HeldBox const& held : holding.boxes) {
    for (std::int64_t i = 0; i < held.box.elements(); ++i) {
      std::int64_t rest = i;
      std::int64_t at_local = held.strided() ? held.offset : 0;
      std::int64_t at_global = 0;
      std::int64_t stride_local = 1;
      std::int64_t stride_global = 1;
      for (int d = holding.global.rank() - 1; d >= 0; --d) {
        std::int64_t const step = rest % held.box.extent[d];
        rest /= held.box.extent[d];
        if (held.box.start[d] + step >= holding.global[d]) {
          return {};
        }
        at_global += (held.box.start[d] + step) * stride_global;
        stride_global *= holding.global[d];
        if (held.strided()) {
          at_local += step * held.strides[d];
        } else {
          if (held.local_start[d] + step >= local[d]) {
            return {};
          }
          at_local += (held.local_start[d] + step) * stride_local;
          stride_local *= local[d];
        }
      }
      if (at_local >= std::ssize(out)) {
        return {};
      }
      std::int64_t& place = out[static_cast<std::size_t>(at_local)];
      place = place == -1 ? at_global : -2;
    }
  }
  return out;
}

Shape random_global(Dice& dice) {
  Shape shape{dice.pick({1, 4, 6, 12, 12, 24})};
  int const rank = dice.pick({1, 2, 2, 3});
  for (int d = 1; d < rank; ++d) {
    shape.push_back(dice.pick({1, 3, 5, 8, 12}));
  }
  return shape;
}

Layout small_layout(Dice& dice, int most) {
  for (;;) {
    Layout const layout{.tensor = dice.pick({1, 2, 3, 4, 6}),
                        .expert = dice.pick({1, 1, 2, 3}),
                        .data = dice.pick({1, 1, 2}),
                        .fsdp = dice.pick({1, 1, 2, 3, 4})};
    if (layout.ranks() <= most) {
      return layout;
    }
  }
}

/// One side of a sync: every rank's part of every parameter.
struct Spread {
  Layout layout{};
  Mesh mesh;
  std::vector<Shape> globals;
  std::vector<std::vector<Part>> parts;  // of each parameter

  [[nodiscard]] plan::Description describe() const {
    plan::Description out{layout, {}};
    for (int rank = 0; rank < layout.ranks(); ++rank) {
      plan::RankDescription held{mesh.world_rank(rank), {}};
      for (std::size_t p = 0; p < parts.size(); ++p) {
        Part const& part = parts[p][static_cast<std::size_t>(rank)];
        held.parameters.push_back({"p" + std::to_string(p), rlhf::DType::f32,
                                   part.rule.holding(part.local, layout, layout.coordinate(rank))});
      }
      out.ranks.push_back(held);
    }
    return out;
  }
};

std::pair<Spread, Spread> random_pair(Dice& dice, int most, std::map<std::string, int>& counts) {
  Spread source;
  Spread destination;
  source.layout = small_layout(dice, most);
  destination.layout = small_layout(dice, most);
  source.mesh = Mesh::range(0, source.layout.ranks());
  destination.mesh =
      Mesh::range(dice.one_in(2) ? 0 : source.layout.ranks(), destination.layout.ranks());
  int const parameters = dice.between(1, 3);
  for (int p = 0; p < parameters; ++p) {
    Shape const global = random_global(dice);
    source.globals.push_back(global);
    destination.globals.push_back(global);
    source.parts.push_back(random_parts(dice, global, source.layout, counts));
    destination.parts.push_back(random_parts(dice, global, destination.layout, counts));
  }
  return {source, destination};
}

/// A rank's memory of one side.
template <class Policy>
struct Model {
  using SyncPolicy = Policy;
  Spread const* spread = nullptr;
  int rank = -1;  // of the module
  std::vector<std::vector<std::uint32_t>> memory{};

  static constexpr std::uint32_t poison = 0xA5A5A5A5U;

  Model(Spread const& side, int world_rank) : spread(&side), rank(side.mesh.rank_of(world_rank)) {
    for (auto const& parts : spread->parts) {
      memory.emplace_back(rank < 0 ? 0 : of(parts).elements.size(), poison);
    }
  }
  [[nodiscard]] Part const& of(std::vector<Part> const& parts) const {
    return parts[static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] Mesh const& mesh() const noexcept { return spread->mesh; }
  [[nodiscard]] Layout layout() const noexcept { return spread->layout; }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (std::size_t p = 0; p < memory.size(); ++p) {
      Part const& part = of(spread->parts[p]);
      rlhf::TensorView const view{memory[p].data(), rlhf::DType::f32, rlhf::Device{}, part.local,
                                  rlhf::row_major_strides(part.local)};
      visit("p" + std::to_string(p), view, part.rule);
    }
  }
  /// What an element must be in a version; poison where there is none.
  static std::uint32_t bits(std::size_t p, std::int64_t element, int version) {
    return element < 0 ? poison
                       : static_cast<std::uint32_t>(cases::element_bits(p, element, version));
  }
  void fill(int version) {
    for (std::size_t p = 0; rank >= 0 && p < memory.size(); ++p) {
      for (std::size_t i = 0; i < memory[p].size(); ++i) {
        memory[p][i] = bits(p, of(spread->parts[p]).elements[i], version);
      }
    }
  }
  [[nodiscard]] int wrong(int version) const {
    int count = 0;
    for (std::size_t p = 0; rank >= 0 && p < memory.size(); ++p) {
      for (std::size_t i = 0; i < memory[p].size(); ++i) {
        count += memory[p][i] == bits(p, of(spread->parts[p]).elements[i], version) ? 0 : 1;
      }
    }
    return count;
  }
};

template <class Policy>
void check_link(std::uint64_t seed, std::atomic<std::int64_t>& moved) {
  Dice dice(seed + 77'000);
  std::map<std::string, int> counts;
  auto const pair = random_pair(dice, 6, counts);
  Spread const& source = pair.first;
  Spread const& destination = pair.second;
  int world_size = source.layout.ranks();
  for (int const rank : destination.mesh.world_ranks()) {
    world_size = std::max(world_size, rank + 1);
  }
  std::atomic<int> wrong{0};
  ranks::WorldEnd const end = ranks::run_world(world_size, [&](rlhf::comm::Local& world) {
    Model<sync::None> from(source, world.rank());
    Model<Policy> to(destination, world.rank());
    sync::Link link(world, from, to);
    for (int version = 1; version <= 2; ++version) {
      from.fill(version);
      link.sync(rlhf::Version{version});
      wrong += to.wrong(version) + from.wrong(version);
      link.verify();
      moved += link.plan().bytes_moved;
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("rules give the elements that slicing gives, padding left out") {
  std::map<std::string, int> counts;
  int wrong_elements = 0;
  int wrong_shapes = 0;
  int not_covered = 0;
  int many_boxes = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Dice dice(seed);
    Layout const layout = small_layout(dice, 24);
    Shape const global = random_global(dice);
    std::vector<Part> const parts = random_parts(dice, global, layout, counts);
    std::vector<int> held(static_cast<std::size_t>(rlhf::element_count(global)), 0);
    for (int rank = 0; rank < layout.ranks(); ++rank) {
      Part const& part = parts[static_cast<std::size_t>(rank)];
      Coordinate const at = layout.coordinate(rank);
      Holding const holding = part.rule.holding(part.local, layout, at);
      if (by_boxes(holding, part.local) != part.elements || holding.global != global) {
        CAPTURE(seed);
        CAPTURE(rank);
        CHECK(++wrong_elements > 1'000'000);
      }
      if (!part.flat) {
        bool const known = !part.derived;
        wrong_shapes += known && part.rule.local_shape(layout, at) != part.local ? 1 : 0;
      }
      many_boxes += holding.boxes.size() > 1 ? 1 : 0;
      for (std::int64_t const element : part.elements) {
        if (element >= 0) {
          ++held[static_cast<std::size_t>(element)];
        }
      }
    }
    not_covered += static_cast<int>(std::count(held.begin(), held.end(), 0));
  }
  CHECK(wrong_elements == 0);
  CHECK(wrong_shapes == 0);
  CHECK(not_covered == 0);
  CHECK(many_boxes > 1000);
  for (char const* const name :
       {"heads", "heads fewer", "padded", "uneven", "experts", "experts redundant", "on",
        "interleaved", "even", "twice", "flat"}) {
    CAPTURE(name);
    CHECK(counts[name] > 50);
  }
}

TEST_CASE("plans between any two rules are exact covers of the least bytes, by every route") {
  std::map<std::string, int> counts;
  constexpr plan::Route routes[] = {plan::Route::point_to_point, plan::Route::broadcast,
                                    plan::Route::hierarchical, plan::Route::automatic};
  for (std::uint64_t seed = 0; seed < cases::to_try(600); ++seed) {
    Dice dice(seed + 50'000);
    auto const [source, destination] = random_pair(dice, 16, counts);
    plan::Description const from = source.describe();
    plan::Description const to = destination.describe();
    auto const choice = dice.pick({plan::SourceChoice::balanced, plan::SourceChoice::paired});
    auto const hosts = plan::Topology::of_hosts(32, 4);
    plan::Options const options{routes[seed % std::size(routes)], choice, 4096};
    plan::Plan const made = plan::build(from, to, options, hosts);
    CAPTURE(seed);
    CHECK(plan::find_fault(made, from, to).empty());
    CHECK(made.bytes_moved ==
          plan::minimum_bytes(plan::placement_of(from), plan::placement_of(to)).lacking);
  }
}

TEST_CASE("weights arrive bit for bit between any two rules, and paddings stay as they are") {
  std::atomic<std::int64_t> moved{0};
  for (std::uint64_t seed = 0; seed < cases::to_try(150); ++seed) {
    CAPTURE(seed);
    check_link<sync::PointToPoint<256_B>>(seed, moved);
    check_link<sync::Broadcast<4_KiB>>(seed, moved);
    check_link<sync::Reshard<256_B>>(seed, moved);
  }
  CHECK(moved > 0);
}
