// Graphs of random stages as types: which values there are, of which columns, who makes each from
// which others, who trains on what. What a row becomes is a function of the rows it is made from
// and of whole weights, so that it can be written out without an engine, and depends on all of it.
#pragma once

#include <rlhf/comm/local.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/data/columns.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/rows.hpp>
#include <rlhf/engine/engine.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/sync/policies.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "property/cases.hpp"

namespace graphs {

using rlhf::Coordinate;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::comm::Local;
using namespace rlhf::literals;
namespace engine = rlhf::engine;

// --- a graph --------------------------------------------------------------------------------

inline constexpr int most_values = 6;
inline constexpr int most_models = 8;
inline constexpr int most_nodes = 12;

/// Values 0 (the prompts) to `values` - 1, each made from earlier ones; models 0 (which draws the
/// prompts) to `models` - 1.
struct Plan {
  int values = 0;
  std::array<unsigned, most_values> inputs{};  ///< Bits: of which values it is made.
  std::array<bool, most_values> computed{};    ///< By a function, not by a model.
  std::array<int, most_values> model{};        ///< On whose ranks.
  int models = 1;
  std::array<bool, most_models> sharded{};  ///< Spread::data_sharded.
  int trainers = 0;
  std::array<int, 2> trained{};     ///< Models.
  std::array<unsigned, 2> batch{};  ///< Bits: values that a trainer takes.
  std::array<bool, 2> wrapped{};    ///< A batch of its own even where there is one value.
  int looked_on = 0;                ///< Where a function looks at `looked` and returns nothing.
  unsigned looked = 0;
  int syncs = 0;
  std::array<int, 2> from{};
  std::array<int, 2> to{};
  std::array<int, most_nodes> order{};  ///< How the nodes are given to the engine.

  [[nodiscard]] constexpr int nodes() const { return values + trainers + 1 + syncs; }
  [[nodiscard]] constexpr int trainer_of(int m) const {
    for (int t = 0; t < trainers; ++t) {
      if (trained[static_cast<std::size_t>(t)] == m) {
        return t;
      }
    }
    return -1;
  }
  /// The value that a model's forward_step makes, or -1.
  [[nodiscard]] constexpr int stage_of(int m) const {
    for (int k = 1; k < values; ++k) {
      auto const at = static_cast<std::size_t>(k);
      if (!computed[at] && model[at] == m) {
        return k;
      }
    }
    return -1;
  }
};

/// Some of the values below `end`, at least one.
constexpr unsigned some_values(cases::Dice& dice, int end) {
  unsigned bits = 1U << dice.between(0, end - 1);
  for (int k = 0; k < end; ++k) {
    bits |= dice.one_in(k + 1 == end ? 2 : 4) ? 1U << k : 0U;
  }
  return bits;
}

constexpr Plan plan_of(std::uint64_t seed) {
  cases::Dice dice(seed);
  Plan plan;
  auto const at = [](int i) { return static_cast<std::size_t>(i); };
  plan.values = dice.between(3, most_values);
  bool first_is_free = true;  // The model that draws the prompts may make one value.
  for (int k = 1; k < plan.values; ++k) {
    plan.inputs[at(k)] = some_values(dice, k);
    plan.computed[at(k)] = dice.one_in(3);
    if (!plan.computed[at(k)]) {
      bool const on_first = first_is_free && dice.one_in(3);
      first_is_free = first_is_free && !on_first;
      plan.model[at(k)] = on_first ? 0 : plan.models++;
    }
  }
  plan.trainers = dice.between(1, 2);
  for (int t = 0; t < plan.trainers; ++t) {
    int const stage = dice.between(0, plan.models - 1);
    bool const own = dice.one_in(2) || (t > 0 && stage == plan.trained[0]);
    plan.trained[at(t)] = own ? plan.models++ : stage;
    plan.batch[at(t)] = some_values(dice, plan.values);
    plan.wrapped[at(t)] = dice.one_in(3);
  }
  for (int k = 1; k < plan.values; ++k) {
    if (plan.computed[at(k)]) {
      plan.model[at(k)] = dice.between(0, plan.models - 1);
    }
  }
  for (int m = 0; m < plan.models; ++m) {
    plan.sharded[at(m)] = dice.one_in(3);
  }
  plan.looked_on = dice.between(0, plan.models - 1);
  plan.looked = some_values(dice, plan.values);
  // From a trainer, or from who got weights from one, to models that are not trained.
  for (int tries = dice.between(0, 4); tries > 0 && plan.syncs < 2; --tries) {
    int const from = plan.syncs > 0 && dice.one_in(2)
                         ? plan.to[0]
                         : plan.trained[at(dice.between(0, plan.trainers - 1))];
    int const to = dice.between(0, plan.models - 1);
    if (plan.trainer_of(to) < 0 && to != from && (plan.syncs == 0 || to != plan.to[0])) {
      plan.from[at(plan.syncs)] = from;
      plan.to[at(plan.syncs++)] = to;
    }
  }
  for (int n = 0; n < plan.nodes(); ++n) {
    int const other = dice.between(0, n);
    plan.order[at(n)] = plan.order[at(other)];
    plan.order[at(other)] = n;
  }
  return plan;
}

template <std::uint64_t Seed>
struct Graph {
  static constexpr std::uint64_t seed = Seed;
  static constexpr Plan plan = plan_of(Seed);
};

// --- its values -----------------------------------------------------------------------------

inline constexpr std::int64_t modulus = 1'000'003;

[[nodiscard]] constexpr std::int64_t mix(std::int64_t a, std::int64_t b) {
  return (a * 7919 + b * 104729 + 12345) % modulus;
}

/// Value K of every graph: those of five columns whose bits are set; bytes come first, so that what
/// follows in a message begins anywhere.
template <int K>
struct Value {
  static constexpr std::array<unsigned, most_values> kinds_of{5, 26, 20, 15, 16, 31};
  static constexpr unsigned kinds = kinds_of[K];
  std::vector<std::uint8_t> flag;
  std::vector<std::int64_t> number;
  std::vector<std::string> text;
  rlhf::data::Rows<std::int32_t> tokens;
  rlhf::data::Rows<std::int64_t> pairs;  ///< Two numbers a position, known with the first row.
  template <class Visit>
  void columns(Visit&& visit) {
    if constexpr ((kinds & 1U) != 0) {
      visit("flag", flag);
    }
    if constexpr ((kinds & 2U) != 0) {
      visit("text", text);
    }
    if constexpr ((kinds & 4U) != 0) {
      visit("tokens", tokens);
    }
    if constexpr ((kinds & 8U) != 0) {
      visit("pairs", pairs);
    }
    if constexpr ((kinds & 16U) != 0) {
      visit("number", number);
    }
  }
};

/// Adds the row that is made of a seed.
template <class V>
void add_row(V& out, std::int64_t seed) {
  auto const values = [&](std::int64_t count, auto zero) {
    std::vector<decltype(zero)> row;
    for (std::int64_t i = 0; i < count; ++i) {
      row.push_back(static_cast<decltype(zero)>(mix(seed, i)));
    }
    return row;
  };
  if constexpr ((V::kinds & 1U) != 0) {
    out.flag.push_back(static_cast<std::uint8_t>(seed % 251));
  }
  if constexpr ((V::kinds & 2U) != 0) {
    out.text.push_back(seed % 5 == 0 ? std::string() : "row of " + std::to_string(seed));
  }
  if constexpr ((V::kinds & 4U) != 0) {
    out.tokens.push_back(values(seed % 4, std::int32_t{}));
  }
  if constexpr ((V::kinds & 8U) != 0) {
    if (out.pairs.size() == 0) {
      out.pairs = rlhf::data::Rows<std::int64_t>(2);
    }
    out.pairs.push_back(values(seed % 3 * 2, std::int64_t{}));
  }
  if constexpr ((V::kinds & 16U) != 0) {
    out.number.push_back(seed);
  }
}

/// A number made of all columns of a row.
template <class V>
std::int64_t digest_of(V const& value, std::int64_t row) {
  std::int64_t digest = 1;
  auto const r = static_cast<std::size_t>(row);
  auto const all = [&](auto const& parts) {
    digest = mix(digest, std::ssize(parts));
    for (auto const part : parts) {
      digest = mix(digest, part);
    }
  };
  if constexpr ((V::kinds & 1U) != 0) {
    digest = mix(digest, value.flag.at(r));
  }
  if constexpr ((V::kinds & 2U) != 0) {
    all(value.text.at(r));
  }
  if constexpr ((V::kinds & 4U) != 0) {
    all(value.tokens[row]);
  }
  if constexpr ((V::kinds & 8U) != 0) {
    all(value.pairs[row]);
  }
  if constexpr ((V::kinds & 16U) != 0) {
    digest = mix(digest, value.number.at(r));
  }
  return digest;
}
/// The same of the rows of several values.
template <class... V>
std::int64_t digest_of_all(std::int64_t row, V const&... values) {
  std::int64_t digest = 7;
  ((digest = mix(digest, digest_of(values, row))), ...);
  return digest;
}

/// The numbers of the bits that are set.
template <unsigned Bits>
inline constexpr auto set_bits = [] {
  std::array<int, static_cast<std::size_t>(std::popcount(Bits))> out{};
  std::size_t count = 0;
  for (int k = 0; k < 32; ++k) {
    if ((Bits >> k & 1U) != 0) {
      out[count++] = k;
    }
  }
  return out;
}();

template <unsigned Bits,
          class = std::make_index_sequence<static_cast<std::size_t>(std::popcount(Bits))>>
struct ValuesOf;
template <unsigned Bits, std::size_t... I>
struct ValuesOf<Bits, std::index_sequence<I...>> {
  using type = rlhf::Inputs<Value<set_bits<Bits>[I]>...>;
};
/// `Inputs` of the values whose bits are set.
template <unsigned Bits>
using Taken = typename ValuesOf<Bits>::type;

/// A batch of several values.
template <class Inputs>
struct Joined;
template <class... V>
struct Joined<rlhf::Inputs<V...>> {
  explicit Joined(V const&... given) : values(given...) {}
  std::tuple<V...> values;
};

template <class... V>
std::vector<std::int64_t> digests_of_all(V const&... values) {
  std::array<std::int64_t, sizeof...(V)> const rows{rlhf::data::row_count(values)...};
  for (std::int64_t const other : rows) {
    if (other != rows[0]) {
      throw std::runtime_error("a part got values of different numbers of rows");
    }
  }
  std::vector<std::int64_t> out;
  for (std::int64_t r = 0; r < rows[0]; ++r) {
    out.push_back(digest_of_all(r, values...));
  }
  return out;
}
template <int K>
std::vector<std::int64_t> digests_of(Value<K> const& batch) {
  return digests_of_all(batch);
}
template <class... V>
std::vector<std::int64_t> digests_of(Joined<rlhf::Inputs<V...>> const& batch) {
  return std::apply([](V const&... values) { return digests_of_all(values...); }, batch.values);
}

// --- what models compute, with whole weights ------------------------------------------------

inline constexpr std::int64_t width = 24;  // divisible by every product of tensor and sharded sizes

[[nodiscard]] constexpr std::int64_t weight_at_start(int model, std::int64_t j) {
  return mix(model + 1, j);
}
/// What a prompt's row is made of.
[[nodiscard]] inline std::int64_t seed_of(rlhf::data::Draw const& draw) {
  return mix(draw.index, draw.dataset);
}
/// What a function's row is made of.
[[nodiscard]] constexpr std::int64_t seed_of_computed(std::int64_t digest, int k) {
  return mix(digest, -k - 1 + modulus);
}
/// What a stage's row is made of: `sum` is that of `part_of_sum` over all weights.
[[nodiscard]] constexpr std::int64_t seed_of_made(std::int64_t digest, std::int64_t sum, int k,
                                                  std::int64_t step, std::int64_t episode) {
  return mix(mix(digest, sum % modulus), k + 100 * step + 10000 * episode);
}
[[nodiscard]] constexpr std::int64_t part_of_sum(std::int64_t digest, std::int64_t j,
                                                 std::int64_t weight) {
  return mix(digest, j) % 97 * (weight % 97);
}
/// Of the row at a position of an optimizer step.
[[nodiscard]] constexpr std::int64_t gradient_of(std::int64_t digest, std::int64_t position,
                                                 std::int64_t step, std::int64_t j,
                                                 std::int64_t weight) {
  return mix(mix(digest, position + 1000 * step), j + weight % 13) % 101;
}

// --- models ---------------------------------------------------------------------------------

using Prompts = rlhf::data::RuntimeMixture<rlhf::data::TorchOrder, rlhf::data::Exhausted::retain>;

/// Weights cut over the tensor and the sharded axis. Ranks that see the same rows divide the work
/// on them, expert and pipeline ranks too, so that what each of them sees counts; but only the last
/// of them returns what is right.
template <bool Sharded, class Data>
struct Weighted : rlhf::Module<rlhf::RuntimeGrid, rlhf::sync::Reshard<1_MiB>, Data> {
  static constexpr engine::Spread spread =
      Sharded ? engine::Spread::data_sharded : engine::Spread::data;
  using OnMesh = rlhf::Module<rlhf::RuntimeGrid, rlhf::sync::Reshard<1_MiB>, Data>;

  Weighted(Local& world, Mesh const& mesh, Layout asked, int model)
      : OnMesh(mesh, world.rank(), asked),
        all(rlhf::module_communicator(world, mesh)) {
    if (!this->present()) {
      return;
    }
    Layout const layout = this->layout();
    Coordinate at = this->coordinate();
    shares = layout.data * (Sharded ? layout.sharded() : 1);
    share = Sharded ? at.data * layout.sharded() + at.sharded : at.data;
    speaks = at.tensor + 1 == layout.tensor && at.expert + 1 == layout.expert &&
             at.pipeline + 1 == layout.pipeline && (Sharded || at.sharded + 1 == layout.sharded());
    worker = at.pipeline * layout.expert + at.expert;
    workers = layout.pipeline * layout.expert;
    std::int64_t const of_tensor = width / layout.tensor;
    std::int64_t const of_rank = of_tensor / layout.sharded();
    begin = at.tensor * of_tensor;
    first = begin + at.sharded * of_rank;
    for (std::int64_t j = first; j < first + of_rank; ++j) {
      w.push_back(weight_at_start(model, j));
    }
    same_rows.emplace(all.split(share, this->rank()));
    at.sharded = 0;
    one_copy.emplace(all.split(layout.rank(at), this->rank()));
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(w, {std::ssize(w)}), rlhf::shard::rows().then(rlhf::Axis::sharded, 0));
  }

  /// What is right on the rank whose results count, and something else on the others.
  [[nodiscard]] std::int64_t told(std::int64_t seed) const {
    return speaks ? seed : mix(seed, 1 + this->rank());
  }
  /// Calls `visit(j, weight)` for this rank's part of the work. Ranks that see different rows under
  /// one copy of the weights meet here, so they must make equal numbers of calls.
  template <class Visit>
  void work(Visit&& visit) {
    std::vector<std::int64_t> gathered;
    if (Sharded) {
      gathered.resize(w.size() * static_cast<std::size_t>(one_copy->size()));
      rlhf::comm::all_gather(*one_copy, std::span<std::int64_t const>(w),
                             std::span<std::int64_t>(gathered));
    } else {
      gathered = w;
    }
    std::int64_t j = Sharded ? begin : first;
    for (std::int64_t const weight : gathered) {
      if (j % workers == worker) {
        visit(j, weight);
      }
      ++j;
    }
  }
  /// The sum over all weights for each row.
  std::vector<std::int64_t> sums(std::vector<std::int64_t> const& digests) {
    std::vector<std::int64_t> out(digests.size(), 0);
    work([&](std::int64_t j, std::int64_t weight) {
      for (std::size_t r = 0; r < digests.size(); ++r) {
        out[r] += part_of_sum(digests[r], j, weight);
      }
    });
    rlhf::comm::all_reduce(*same_rows, std::span<std::int64_t>(out));
    return out;
  }
  /// An optimizer step. Shares' rows follow each other in the order of the step.
  template <class Batch>
  std::int64_t step_on(std::span<Batch const> micro_batches, std::int64_t step) {
    std::vector<std::int64_t> digests;
    for (Batch const& batch : micro_batches) {
      std::vector<std::int64_t> const more = digests_of(batch);
      expect_at_most(std::ssize(more), step_rows);
      digests.insert(digests.end(), more.begin(), more.end());
    }
    std::vector<std::int64_t> counts(static_cast<std::size_t>(shares) + 1, 0);
    counts[static_cast<std::size_t>(share)] = speaks ? std::ssize(digests) : 0;
    counts.back() = std::ssize(micro_batches);
    rlhf::comm::all_reduce(all, std::span<std::int64_t>(counts));
    if (counts.back() != std::ssize(micro_batches) * all.size()) {
      throw std::runtime_error("ranks got different numbers of micro-batches");
    }
    std::int64_t const before =
        std::accumulate(counts.begin(), counts.begin() + share, std::int64_t{0});
    std::vector<std::int64_t> gradient(width, 0);
    work([&](std::int64_t j, std::int64_t weight) {
      for (std::size_t r = 0; r < digests.size(); ++r) {
        gradient[static_cast<std::size_t>(j)] +=
            gradient_of(digests[r], before + static_cast<std::int64_t>(r), step, j, weight);
      }
    });
    rlhf::comm::all_reduce(all, std::span<std::int64_t>(gradient));
    for (std::size_t i = 0; i < w.size(); ++i) {
      w[i] = (w[i] + gradient[static_cast<std::size_t>(first) + i]) % modulus;
    }
    return gradient[0];
  }
  static void expect_at_most(std::int64_t rows, std::int64_t most) {
    if (most > 0 && rows > most) {
      throw std::runtime_error("a model got more rows than a batch has");
    }
  }

  Local all;
  std::optional<Local> same_rows;  ///< Ranks of this rank's share.
  std::optional<Local> one_copy;   ///< Ranks along the sharded axis.
  std::vector<std::int64_t> w;
  std::int64_t begin = 0;  ///< Of the tensor rank's weights,
  std::int64_t first = 0;  ///< and of this rank's.
  int shares = 0;
  int share = 0;
  bool speaks = false;
  int worker = 0;
  int workers = 1;
  std::int64_t stage_rows = 0;  ///< Rows of a call at most; 0: any number.
  std::int64_t step_rows = 0;   ///< Rows of a micro-batch at most.
};

/// One value as it is, several together.
template <class Inputs, bool Wrapped>
struct BatchFor {
  using type = Joined<Inputs>;
};
template <class V>
struct BatchFor<rlhf::Inputs<V>, false> {
  using type = V;
};

/// Makes value K of those whose bits are set; from the episode's number, too, if it is `Dated`.
template <int K, unsigned Bits, bool Dated, class Base>
struct Staged : Base {
  using Base::Base;
  using Inputs = Taken<Bits>;
  using Batch = typename BatchFor<Inputs, false>::type;
  Value<K> forward_step(Batch const& batch, rlhf::Step step) {
    std::vector<std::int64_t> const digests = digests_of(batch);
    Base::expect_at_most(std::ssize(digests), this->stage_rows);
    std::vector<std::int64_t> const sums = this->sums(digests);
    Value<K> out;
    for (std::size_t r = 0; r < digests.size(); ++r) {
      add_row(out, this->told(seed_of_made(digests[r], sums[r], K, step.value,
                                           Dated ? this->episode().value : 0)));
    }
    return out;
  }
};
template <unsigned Bits, bool Wrapped, class Base>
struct Trained : Base {
  using Base::Base;
  using TrainInputs = Taken<Bits>;
  using TrainBatch = typename BatchFor<TrainInputs, Wrapped>::type;
  std::int64_t train_step(std::span<TrainBatch const> micro_batches, rlhf::Step step) {
    return this->step_on(micro_batches, step.value);
  }
};
/// Of a model that does nothing but train, the batch of everything.
template <class Base>
struct OnlyTrained : Base {
  using Base::Base;
  using Batch = typename Base::TrainBatch;
};

template <class G, int M>
struct ModelFor {
  static constexpr Plan plan = G::plan;
  static constexpr int stage = plan.stage_of(M);
  static constexpr int trainer = plan.trainer_of(M);
  static constexpr int k = stage < 0 ? 0 : stage;
  static constexpr int t = trainer < 0 ? 0 : trainer;
  using Plain = Weighted<plan.sharded[M], std::conditional_t<M == 0, Prompts, rlhf::data::None>>;
  // The episode of a model that draws ahead is not that of a stage of it that is not ahead.
  using WithStage =
      std::conditional_t<(stage >= 0), Staged<k, plan.inputs[k], M != 0, Plain>, Plain>;
  using WithTrainer = Trained<plan.batch[t], plan.wrapped[t], WithStage>;
  using type =
      std::conditional_t<(trainer < 0), WithStage,
                         std::conditional_t<(stage >= 0), WithTrainer, OnlyTrained<WithTrainer>>>;
};
template <class G, int M>
using Model = typename ModelFor<G, M>::type;

}  // namespace graphs
