// Seeded cases for the laws of layouts, shards, plans and syncs, and what they are compared with:
// slicing done index by index, as NumPy would, without the library's boxes.
#pragma once

#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/mesh.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/plan/description.hpp>
#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/shape.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace cases {

using rlhf::Axis;
using rlhf::Coordinate;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Shape;

/// A generator of its own (SplitMix64), so that the library's cannot hide a fault.
class Dice {
 public:
  constexpr explicit Dice(std::uint64_t seed) : state_(seed * 0x2545f4914f6cdd1dULL + 1) {}
  constexpr std::uint64_t word() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  /// Between both, inclusive.
  constexpr int between(int low, int high) {
    return low + static_cast<int>(word() % static_cast<std::uint64_t>(high - low + 1));
  }
  constexpr bool one_in(int n) { return between(1, n) == 1; }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[between(0, static_cast<int>(values.size()) - 1)];
  }
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1],
                values[static_cast<std::size_t>(between(0, static_cast<int>(i) - 1))]);
    }
  }

 private:
  std::uint64_t state_;
};

/// For each dimension of a rank's tensor, the global index of each of its indices.
using Lists = std::vector<std::vector<std::int64_t>>;

struct CutSpec {
  Axis axis;
  int dimension;
  int sections;
};

/// How one parameter is cut, in our words; `rule` says it in the library's.
struct RuleSpec {
  std::vector<CutSpec> cuts;
  bool says_global = true;

  [[nodiscard]] rlhf::Shard rule(Shape const& global) const {
    rlhf::Shard out;
    for (CutSpec const& cut : cuts) {
      out = out.then(cut.axis, cut.dimension, cut.sections);
    }
    return says_global ? out.of(global) : out;
  }
};

inline int coordinate_on(Coordinate const& at, Axis axis) {
  return axis == Axis::tensor    ? at.tensor
         : axis == Axis::expert  ? at.expert
         : axis == Axis::sharded ? at.sharded
         : axis == Axis::data    ? at.data
                                 : at.pipeline;
}

/// What the rank at `at` holds. `even` becomes false where a cut that must divide does not; `exact`
/// where an FSDP cut leaves ranks with different extents.
inline Lists slices(Shape const& global, std::vector<CutSpec> const& cuts, Layout const& layout,
                    Coordinate const& at, bool& even, bool& exact) {
  Lists lists;
  for (int d = 0; d < global.rank(); ++d) {
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < global[d]; ++i) {
      all.push_back(i);
    }
    lists.push_back(all);
  }
  for (CutSpec const& cut : cuts) {
    std::vector<std::int64_t>& list = lists[static_cast<std::size_t>(cut.dimension)];
    auto const extent = static_cast<std::int64_t>(list.size());
    std::int64_t const parts = layout.size(cut.axis);
    std::int64_t const mine = coordinate_on(at, cut.axis);
    if (extent % cut.sections != 0) {
      even = false;
      return lists;
    }
    std::int64_t const section = extent / cut.sections;
    if (section % parts != 0) {
      (cut.axis == Axis::sharded ? exact : even) = false;
    }
    if (!even) {
      return lists;
    }
    std::int64_t const chunk = (section + parts - 1) / parts;
    std::vector<std::int64_t> kept;
    for (std::int64_t i = 0; i < extent; ++i) {
      if (chunk != 0 && i % section / chunk == mine) {
        kept.push_back(list[static_cast<std::size_t>(i)]);
      }
    }
    list = kept;
  }
  return lists;
}

inline Shape shape_of(Lists const& lists) {
  Shape out;
  for (auto const& list : lists) {
    out.push_back(static_cast<std::int64_t>(list.size()));
  }
  return out;
}

/// Calls `visit(local index, global index)`, both row-major positions, for each element of a rank.
template <class Visit>
void for_each_element(Shape const& global, Lists const& lists, Visit&& visit) {
  Shape const local = shape_of(lists);
  std::int64_t const count = rlhf::element_count(local);
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i;
    std::int64_t at = 0;
    std::int64_t stride = 1;
    for (int d = global.rank() - 1; d >= 0; --d) {
      at += lists[static_cast<std::size_t>(d)][static_cast<std::size_t>(rest % local[d])] * stride;
      rest /= local[d];
      stride *= global[d];
    }
    visit(i, at);
  }
}

/// Cases that a law is tried on; the environment's RLHF_TEST_CASES overrides it.
inline std::uint64_t to_try(std::uint64_t usual) {
  char const* const wanted = std::getenv("RLHF_TEST_CASES");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : usual;
}

/// A layout of at most `most` ranks.
inline Layout random_layout(Dice& dice, int most) {
  for (;;) {
    Layout const layout{.tensor = dice.pick({1, 1, 2, 2, 4}),
                        .pipeline = dice.pick({1, 1, 2, 4}),
                        .expert = dice.pick({1, 1, 1, 2}),
                        .data = dice.pick({1, 1, 2, 3}),
                        .fsdp = dice.pick({1, 1, 1, 2, 3})};
    if (layout.ranks() <= most) {
      return layout;
    }
  }
}

/// One parameter of a model on both sides.
struct Parameter {
  std::string name;
  rlhf::DType dtype = rlhf::DType::f32;
  Shape global{};
  RuleSpec source;
  RuleSpec destination;
  double depth = 0;  ///< Place in the model, 0 to 1: decides the pipeline stage on both sides.
  bool everywhere = false;  ///< On every stage of both sides (tied weights).
};

/// Two modules on one world, and the parameters they share.
struct Case {
  Layout source{};
  Layout destination{};
  Mesh source_mesh;
  Mesh destination_mesh;
  int world = 0;
  std::vector<Parameter> parameters;
};

enum class Side { source, destination };

inline Layout const& layout_of(Case const& pair, Side side) {
  return side == Side::source ? pair.source : pair.destination;
}
inline Mesh const& mesh_of(Case const& pair, Side side) {
  return side == Side::source ? pair.source_mesh : pair.destination_mesh;
}

/// Whether the module rank at `at` has a parameter at all.
inline bool present(Case const& pair, Side side, Parameter const& parameter, Coordinate const& at) {
  int const stages = layout_of(pair, side).pipeline;
  int const stage = std::min(static_cast<int>(parameter.depth * stages), stages - 1);
  return parameter.everywhere || at.pipeline == stage;
}

inline Lists slices_of(Case const& pair, Side side, Parameter const& parameter,
                       Coordinate const& at) {
  bool even = true;
  bool exact = true;
  RuleSpec const& rule = side == Side::source ? parameter.source : parameter.destination;
  return slices(parameter.global, rule.cuts, layout_of(pair, side), at, even, exact);
}

/// A rule whose cuts fit the shape on every rank of a layout.
inline RuleSpec random_rule(Dice& dice, Shape const& global, Layout const& layout) {
  for (;;) {
    RuleSpec out;
    bool expert = false;
    int const wanted = global.rank() == 0 ? 0 : dice.between(0, 3);
    for (int i = 0; i < wanted; ++i) {
      CutSpec const cut{
          i == 0 ? Axis::tensor : dice.pick({Axis::sharded, Axis::sharded, Axis::expert}),
          dice.between(0, global.rank() - 1), dice.pick({1, 1, 1, 2, 3})};
      bool const again = std::any_of(out.cuts.begin(), out.cuts.end(), [&](CutSpec const& before) {
        return before.axis == cut.axis;
      });
      if (again || (cut.axis == Axis::expert && expert)) {
        continue;
      }
      out.cuts.push_back(cut);
    }
    if (out.cuts.size() > 1 && dice.one_in(4)) {
      dice.shuffle(out.cuts);
    }
    bool even = true;
    bool exact = true;
    for (int rank = 0; rank < layout.ranks(); ++rank) {
      static_cast<void>(slices(global, out.cuts, layout, layout.coordinate(rank), even, exact));
    }
    if (even) {
      out.says_global = !exact || dice.one_in(2);
      return out;
    }
  }
}

inline Shape random_shape(Dice& dice) {
  Shape shape;
  int const rank = dice.pick({0, 1, 1, 2, 2, 2, 2, 3, 3});
  for (int d = 0; d < rank; ++d) {
    shape.push_back(dice.pick({1, 3, 4, 5, 8, 8, 12, 12, 24}));
  }
  if (dice.one_in(25) && rank > 0) {
    shape[dice.between(0, rank - 1)] = 0;
  }
  return shape;
}

/// How the two meshes lie in the world.
enum class Placement { disjoint, identical, overlapping, reversed, shuffled };
inline constexpr Placement placements[] = {Placement::disjoint, Placement::identical,
                                           Placement::overlapping, Placement::reversed,
                                           Placement::shuffled};

inline void place(Case& pair, Dice& dice, Placement placement) {
  int const source = pair.source.ranks();
  int const destination = pair.destination.ranks();
  auto const backwards = [](int count) {
    std::vector<int> out;
    for (int rank = count; rank-- > 0;) {
      out.push_back(rank);
    }
    return out;
  };
  switch (placement) {
    case Placement::disjoint:
      pair.world = source + destination;
      pair.source_mesh = Mesh::range(0, source);
      pair.destination_mesh = Mesh::range(source, destination);
      break;
    case Placement::identical:
      pair.world = std::max(source, destination);
      pair.source_mesh = Mesh::range(0, source);
      pair.destination_mesh = Mesh::range(0, destination);
      break;
    case Placement::overlapping: {
      int const first = dice.between(0, source);
      pair.world = std::max(source, first + destination) + dice.between(0, 1);
      pair.source_mesh = Mesh::range(0, source);
      pair.destination_mesh = Mesh::range(first, destination);
      break;
    }
    case Placement::reversed:
      pair.world = std::max(source, destination);
      pair.source_mesh = Mesh::range(0, source);
      pair.destination_mesh = Mesh(backwards(destination));
      break;
    case Placement::shuffled: {
      pair.world = std::max(source, destination) + dice.between(0, 2);
      std::vector<int> all = backwards(pair.world);
      dice.shuffle(all);
      pair.source_mesh = Mesh(std::vector<int>(all.begin(), all.begin() + source));
      dice.shuffle(all);
      pair.destination_mesh = Mesh(std::vector<int>(all.begin(), all.begin() + destination));
      break;
    }
  }
}

/// Parameters that fit both layouts of a case.
inline void add_parameters(Case& pair, Dice& dice, int count) {
  for (int p = 0; p < count; ++p) {
    Parameter next;
    next.name = "layers." + std::to_string(p) + (p % 2 == 0 ? ".weight" : ".bias");
    next.dtype = dice.pick({rlhf::DType::f32, rlhf::DType::bf16, rlhf::DType::bf16, rlhf::DType::u8,
                            rlhf::DType::f64});
    next.global = random_shape(dice);
    next.source = random_rule(dice, next.global, pair.source);
    next.destination = random_rule(dice, next.global, pair.destination);
    next.depth = count == 1 ? 0 : static_cast<double>(p) / count;
    next.everywhere = dice.one_in(6);
    pair.parameters.push_back(next);
  }
}

/// A random pair. `two_stage_fits`: of layouts that the two-stage route serves.
inline Case random_case(std::uint64_t seed, int most_ranks, bool two_stage_fits) {
  Dice dice(seed);
  Case pair;
  do {
    pair.source = random_layout(dice, most_ranks);
    pair.destination = random_layout(dice, most_ranks);
  } while (two_stage_fits && (pair.destination.tensor % pair.source.tensor != 0 ||
                              pair.source.pipeline % pair.destination.pipeline != 0));
  place(pair, dice, placements[seed % std::size(placements)]);
  add_parameters(pair, dice, dice.between(1, 7));
  return pair;
}

/// What the ranks of one side hold, in the library's words.
inline rlhf::plan::Description describe(Case const& pair, Side side) {
  rlhf::plan::Description out{layout_of(pair, side), {}};
  for (int rank = 0; rank < layout_of(pair, side).ranks(); ++rank) {
    Coordinate const at = layout_of(pair, side).coordinate(rank);
    rlhf::plan::RankDescription held{mesh_of(pair, side).world_rank(rank), {}};
    for (Parameter const& parameter : pair.parameters) {
      if (present(pair, side, parameter, at)) {
        RuleSpec const& spec = side == Side::source ? parameter.source : parameter.destination;
        Shape const local = shape_of(slices_of(pair, side, parameter, at));
        held.parameters.push_back(
            {parameter.name, parameter.dtype,
             spec.rule(parameter.global).holding(local, layout_of(pair, side), at)});
      }
    }
    out.ranks.push_back(held);
  }
  return out;
}

}  // namespace cases
