// Engines over random graphs: whatever feeds what, on whatever ranks, every value of every stage
// and all weights are those of the same functions evaluated one after the other on one rank.
#include <rlhf/data/sampler.hpp>
#include <rlhf/data/shuffle.hpp>

#include <algorithm>
#include <string_view>

#include <doctest/doctest.h>

#include "property/graph_models.hpp"
#include "ranks/world.hpp"

namespace {

using namespace graphs;  // NOLINT(google-build-using-namespace)
using cases::Dice;
using Numbers = std::vector<std::int64_t>;

constexpr std::uint64_t settings = 12;  // of every graph

constexpr std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}

/// How a graph runs once.
struct Setting {
  int ranks = 1;
  std::array<Layout, most_models> layout{};
  std::array<Mesh, most_models> mesh{};
  engine::Options options{};
  std::array<std::int64_t, most_values> stage_rows{};
  std::array<engine::TrainOptions, 2> train{};
  std::array<int, 2> frequency{};
  rlhf::data::SamplerOptions data{};
};

/// What one rank saw and has.
struct Record {
  std::array<Numbers, most_values> made{};  ///< A digest a row, as observed.
  Numbers looked{};
  Numbers rows{};  ///< Of each episode.
  std::array<Numbers, most_models> weights{};
};

/// Rows [first, second) are a share's: all have as many, but the first ones one more where it does
/// not come out even.
std::pair<std::int64_t, std::int64_t> rows_of_share(std::int64_t rows, int shares, int share) {
  std::int64_t const begin = rows / shares * share + std::min<std::int64_t>(rows % shares, share);
  return {begin, begin + rows / shares + (share < rows % shares ? 1 : 0)};
}

// --- evaluated on one rank ------------------------------------------------------------------

template <class G, class = std::make_integer_sequence<int, G::plan.values>>
class ByHand;
template <class G, int... K>
class ByHand<G, std::integer_sequence<int, K...>> {
 public:
  explicit ByHand(Setting const& setting)
      : setting_(&setting),
        sampler_(rlhf::data::make_sampler<Prompts>(setting.data)) {
    for (int m = 0; m < plan.models; ++m) {
      for (std::int64_t j = 0; j < width; ++j) {
        weights_[at(m)].push_back(weight_at_start(m, j));
      }
    }
    mark_ahead();
  }
  /// Whether prompts are drawn on ranks that train nothing.
  [[nodiscard]] bool can_be_ahead() const { return ahead_[0]; }

  void run() {
    std::int64_t const episodes = setting_->options.episodes;
    std::int64_t const ahead = setting_->options.episodes_ahead;
    if (ahead == 0) {
      ahead_.fill(false);
    }
    episodes_.resize(static_cast<std::size_t>(episodes));
    sync(0);
    for (std::int64_t e = 0; e < std::min(ahead, episodes); ++e) {
      make_all(e, true);
    }
    for (std::int64_t e = 0; e < episodes; ++e) {
      if (ahead > 0 && e + ahead < episodes) {
        make_all(e + ahead, true);
      }
      make_all(e, false);
      train<0>(e);
      if constexpr (plan.trainers > 1) {
        train<1>(e);
      }
      sync(e + 1);
    }
  }
  /// What a rank must have seen.
  [[nodiscard]] Record record_of(int rank) const {
    Record out;
    auto const add = [&](Numbers& to, Numbers const& digests, int model, bool only_speaker) {
      int const mine = setting_->mesh[at(model)].rank_of(rank);
      if (mine < 0) {
        return;
      }
      Layout const& layout = setting_->layout[at(model)];
      bool speaks = true;  // the last rank of a share does
      for (int other = mine + 1; other < layout.ranks(); ++other) {
        speaks = speaks && share_of(model, other) != share_of(model, mine);
      }
      if (speaks || !only_speaker) {
        auto const [begin, end] =
            rows_of_share(std::ssize(digests), shares_of(model), share_of(model, mine));
        to.insert(to.end(), digests.begin() + begin, digests.begin() + end);
      }
    };
    for (Made const& episode : episodes_) {
      out.rows.push_back(std::ssize(episode.digests[0]));
      (add(out.made[K], episode.digests[K], plan.model[K], true), ...);
      add(out.looked, episode.looked, plan.looked_on, false);
    }
    for (int m = 0; m < plan.models; ++m) {
      int const mine = setting_->mesh[at(m)].rank_of(rank);
      if (mine >= 0) {
        Layout const& layout = setting_->layout[at(m)];
        Coordinate const here = layout.coordinate(mine);
        std::int64_t const parts = layout.tensor * std::int64_t{layout.sharded()};
        std::int64_t const part = here.tensor * std::int64_t{layout.sharded()} + here.sharded;
        std::int64_t const size = width / parts;
        auto const first = weights_[at(m)].begin() + part * size;
        out.weights[at(m)].assign(first, first + size);
      }
    }
    return out;
  }
  [[nodiscard]] int shares_of(int model) const {
    Layout const& layout = setting_->layout[at(model)];
    return layout.data * (plan.sharded[at(model)] ? layout.sharded() : 1);
  }

 private:
  static constexpr Plan plan = G::plan;
  struct Made {
    std::tuple<Value<K>...> values{};
    std::array<Numbers, most_values> digests{};
    Numbers looked{};
  };

  [[nodiscard]] int share_of(int model, int rank) const {
    Layout const& layout = setting_->layout[at(model)];
    Coordinate const here = layout.coordinate(rank);
    return plan.sharded[at(model)] ? here.data * layout.sharded() + here.sharded : here.data;
  }
  /// What runs ahead: what is on ranks that train nothing, and made of such values only.
  void mark_ahead() {
    for (int k = 0; k < plan.values; ++k) {
      bool apart = true;
      for (int t = 0; t < plan.trainers; ++t) {
        for (int const rank : setting_->mesh[at(plan.trained[at(t)])].world_ranks()) {
          apart = apart && setting_->mesh[at(plan.model[at(k)])].rank_of(rank) < 0;
        }
      }
      for (int other = 0; other < k; ++other) {
        apart = apart && ((plan.inputs[at(k)] >> other & 1U) == 0 || ahead_[at(other)]);
      }
      ahead_[at(k)] = apart;
    }
  }
  template <unsigned Bits>
  [[nodiscard]] static std::int64_t digest_of_inputs(Made const& episode, std::int64_t row) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return digest_of_all(row, std::get<set_bits<Bits>[I]>(episode.values)...);
    }
    (std::make_index_sequence<set_bits<Bits>.size()>{});
  }
  void make_all(std::int64_t e, bool ahead) {
    Made& episode = episodes_[static_cast<std::size_t>(e)];
    (make<K>(episode, e, ahead), ...);
    if (!ahead) {
      for (std::int64_t r = 0; r < std::ssize(episode.digests[0]); ++r) {
        episode.looked.push_back(digest_of_inputs<plan.looked>(episode, r));
      }
    }
  }
  template <int V>
  void make(Made& episode, std::int64_t e, bool ahead) {
    if (ahead_[V] != ahead) {
      return;
    }
    auto& out = std::get<V>(episode.values);
    if constexpr (V == 0) {
      std::vector<rlhf::data::Draw> draws;
      sampler_.next(0, 1, draws);
      for (rlhf::data::Draw const& draw : draws) {
        add_row(out, seed_of(draw));
      }
    } else {
      constexpr int model = plan.model[V];
      for (std::int64_t r = 0; r < std::ssize(episode.digests[0]); ++r) {
        std::int64_t const digest = digest_of_inputs<plan.inputs[V]>(episode, r);
        std::int64_t sum = 0;
        for (std::int64_t j = 0; j < width; ++j) {
          sum += part_of_sum(digest, j, weights_[model][static_cast<std::size_t>(j)]);
        }
        add_row(out, plan.computed[V]
                         ? seed_of_computed(digest, V)
                         : seed_of_made(digest, sum, V, steps_[model], model == 0 ? 0 : e));
      }
    }
    for (std::int64_t r = 0; r < rlhf::data::row_count(out); ++r) {
      episode.digests[V].push_back(digest_of(out, r));
    }
  }
  template <int T>
  void train(std::int64_t e) {
    constexpr int model = plan.trained[T];
    Made const& episode = episodes_[static_cast<std::size_t>(e)];
    engine::TrainOptions const& options = setting_->train[T];
    auto const rows = std::ssize(episode.digests[0]);
    for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
      Numbers order;
      bool const runs = options.shuffle == engine::Shuffle::micro_batches;
      std::int64_t const run = runs ? std::max<std::int64_t>(options.micro_batch, 1) : 1;
      Numbers places;
      if (options.shuffle != engine::Shuffle::none) {
        places = rlhf::data::shuffled((rows + run - 1) / run, setting_->options.seed,
                                      e * options.epochs + epoch);
      } else {
        places.resize(static_cast<std::size_t>(rows));
        std::iota(places.begin(), places.end(), 0);
      }
      for (std::int64_t const place : places) {
        for (std::int64_t r = place * run; r < std::min(rows, (place + 1) * run); ++r) {
          order.push_back(r);
        }
      }
      std::int64_t const global = options.global_batch <= 0 ? rows : options.global_batch;
      for (std::int64_t begin = 0; begin < rows; begin += global) {
        Numbers next = weights_[model];
        for (std::int64_t p = begin; p < std::min(rows, begin + global); ++p) {
          std::int64_t const digest =
              digest_of_inputs<plan.batch[T]>(episode, order[static_cast<std::size_t>(p)]);
          for (std::size_t j = 0; j < next.size(); ++j) {
            next[j] += gradient_of(digest, p - begin, steps_[model], static_cast<std::int64_t>(j),
                                   weights_[model][j]);
          }
        }
        for (std::int64_t& weight : next) {
          weight %= modulus;
        }
        weights_[model] = next;
        ++steps_[model];
      }
    }
  }
  /// The syncs that are due behind `episode` episodes, in the order in which they were given.
  void sync(std::int64_t episode) {
    for (int n = 0; n < plan.nodes(); ++n) {
      int const s = plan.order[at(n)] - (plan.nodes() - plan.syncs);
      if (s >= 0 && (episode == 0 || (setting_->frequency[at(s)] > 0 &&
                                      episode % setting_->frequency[at(s)] == 0))) {
        weights_[at(plan.to[at(s)])] = weights_[at(plan.from[at(s)])];
      }
    }
  }

  Setting const* setting_;
  rlhf::data::SamplerOf<Prompts> sampler_;
  std::array<Numbers, most_models> weights_{};
  std::array<std::int64_t, most_models> steps_{};
  std::array<bool, most_values> ahead_{};
  std::vector<Made> episodes_{};
};

// --- by an engine ---------------------------------------------------------------------------

constexpr std::array<std::string_view, most_nodes> names{"part 0", "part 1", "part 2",  "part 3",
                                                         "part 4", "part 5", "part 6",  "part 7",
                                                         "part 8", "part 9", "part 10", "part 11"};

template <class M>
struct MakePrompts {
  M const* model;
  Value<0> operator()(std::span<rlhf::data::Draw const> draws) const {
    Value<0> out;
    for (rlhf::data::Draw const& draw : draws) {
      add_row(out, model->told(seed_of(draw)));
    }
    return out;
  }
};
template <int K, class M, class Inputs>
struct Function;
template <int K, class M, class... V>
struct Function<K, M, rlhf::Inputs<V...>> {
  M const* model;
  Value<K> operator()(V const&... values) const {
    Value<K> out;
    for (std::int64_t const digest : digests_of_all(values...)) {
      add_row(out, model->told(seed_of_computed(digest, K)));
    }
    return out;
  }
};
template <class Inputs>
struct Look;
template <class... V>
struct Look<rlhf::Inputs<V...>> {
  Numbers* into;
  void operator()(V const&... values) const {
    Numbers const digests = digests_of_all(values...);
    into->insert(into->end(), digests.begin(), digests.end());
  }
};

/// Node N: values, then trainers, then the one that looks, then syncs.
template <class G, int N, class Models>
auto node(Models& models, Setting const& setting, Record& record) {
  static constexpr Plan plan = G::plan;
  constexpr int trainer = N - plan.values;
  constexpr int link = trainer - plan.trainers - 1;
  std::string_view const name = names[N];
  if constexpr (N == 0) {
    auto& model = std::get<0>(models);
    return engine::prompts(name, model, MakePrompts<Model<G, 0>>{&model});
  } else if constexpr (N < plan.values && plan.computed[N]) {
    constexpr int m = plan.model[N];
    auto& model = std::get<m>(models);
    return engine::compute(name, model, Function<N, Model<G, m>, Taken<plan.inputs[N]>>{&model});
  } else if constexpr (N < plan.values) {
    return engine::stage(name, std::get<plan.model[N]>(models), {setting.stage_rows[N]});
  } else if constexpr (trainer < plan.trainers) {
    return engine::train(name, std::get<plan.trained[trainer]>(models), setting.train[trainer]);
  } else if constexpr (trainer == plan.trainers) {
    return engine::compute(name, std::get<plan.looked_on>(models),
                           Look<Taken<plan.looked>>{&record.looked});
  } else {
    return engine::sync(name, std::get<plan.from[link]>(models), std::get<plan.to[link]>(models),
                        {}, setting.frequency[link]);
  }
}

struct Observer {
  Record* record;
  template <int K>
  void made(Value<K> const& value, std::string_view stage) {
    if (stage != names[K]) {
      throw std::runtime_error("a value was made by another stage");
    }
    for (std::int64_t r = 0; r < rlhf::data::row_count(value); ++r) {
      record->made[K].push_back(digest_of(value, r));
    }
  }
  void finished(engine::EpisodeReport const& report) const { record->rows.push_back(report.rows); }
};

template <class G>
std::vector<Record> by_engine(Setting const& setting) {
  static constexpr Plan plan = G::plan;
  std::vector<Record> records(at(setting.ranks));
  auto const end = ranks::run_world(setting.ranks, ranks::long_timeout, [&](Local& world) {
    Record& record = records[at(world.rank())];
    [&]<int... M, int... N>(std::integer_sequence<int, M...>, std::integer_sequence<int, N...>) {
      std::tuple<Model<G, M>...> models{
          Model<G, M>(world, setting.mesh[M], setting.layout[M], M)...};
      ((std::get<M>(models).stage_rows = setting.stage_rows[at(std::max(plan.stage_of(M), 0))],
        std::get<M>(models).step_rows =
            setting.train[at(std::max(plan.trainer_of(M), 0))].micro_batch),
       ...);
      std::get<0>(models).open_data(setting.data);
      rlhf::Engine loop(world, setting.options, node<G, plan.order[N]>(models, setting, record)...);
      loop.run(Observer{&record});
      ((record.weights[M] = std::get<M>(models).w), ...);
    }
    (std::make_integer_sequence<int, plan.models>{},
     std::make_integer_sequence<int, plan.nodes()>{});
  });
  if (end.world.failed) {
    FAIL_CHECK(end.world.text);
  }
  return records;
}

// --- cases ----------------------------------------------------------------------------------

/// Ranks [first, last) of which a model gets some, in any order.
void place(Setting& setting, Dice& dice, int model, int first, int last) {
  Layout layout = cases::random_layout(dice, last - first);
  if (dice.one_in(4)) {
    layout = Layout{.data = last - first};
  }
  if (layout.tensor * layout.pipeline * layout.expert == 1 && dice.one_in(2)) {
    std::swap(layout.fsdp, layout.zero);
  }
  std::vector<int> ranks(at(last - first));
  std::iota(ranks.begin(), ranks.end(), first);
  if (!dice.one_in(3)) {
    dice.shuffle(ranks);
  }
  ranks.resize(at(layout.ranks()));
  setting.layout[at(model)] = layout;
  setting.mesh[at(model)] = Mesh(std::move(ranks));
}

template <class G>
Setting some_setting(Dice& dice) {
  constexpr Plan plan = G::plan;
  Setting s;
  s.ranks = dice.between(dice.one_in(4) ? 1 : 4, 8);
  // Apart: prompts are drawn where nobody trains.
  bool const apart = plan.trainer_of(0) < 0 && s.ranks > 1 && dice.one_in(2);
  int const border = apart ? dice.between(1, s.ranks - 1) : 0;
  for (int m = 0; m < plan.models; ++m) {
    bool const trained = plan.trainer_of(m) >= 0;
    bool const before = apart && !trained && (m == 0 || dice.one_in(2));
    place(s, dice, m, trained ? border : 0, before ? border : s.ranks);
  }
  s.data.dataset_sizes = {dice.between(3, 30)};
  s.data.samples_per_episode = dice.one_in(4) ? dice.between(1, 3) : dice.between(1, 14);
  s.data.seed = dice.word();
  s.options.episodes = dice.between(1, 4);
  s.options.seed = dice.word();
  s.options.episodes_ahead = ByHand<G>(s).can_be_ahead() ? dice.between(0, 2) : 0;
  for (std::int64_t& rows : s.stage_rows) {
    rows = dice.between(0, 3);
  }
  for (engine::TrainOptions& train : s.train) {
    train = {.global_batch = dice.one_in(3) ? 0 : dice.between(1, 9),
             .micro_batch = dice.between(0, 3),
             .epochs = dice.between(1, 2),
             .shuffle = dice.pick(
                 {engine::Shuffle::none, engine::Shuffle::rows, engine::Shuffle::micro_batches})};
  }
  for (int& frequency : s.frequency) {
    frequency = dice.between(0, 2);
  }
  return s;
}

/// What the cases below have in them.
struct Coverage {
  int few_rows = 0;  ///< Fewer rows than a model has shares.
  int ahead = 0;     ///< Generated ahead, while something else is not.
  int pipeline = 0;  ///< Models with more than one rank on an axis,
  int expert = 0;
  int sharded_shares = 0;  ///< with a share for each of their sharded ranks,
  int sharded_copies = 0;  ///< or the same rows on all of them.
  int permuted = 0;        ///< Models whose last world rank is not the last of the module.
};
template <class G>
void count(Coverage& coverage, Setting const& setting) {
  ByHand<G> const loop(setting);
  coverage.ahead += setting.options.episodes_ahead > 0 ? 1 : 0;
  for (int m = 0; m < G::plan.models; ++m) {
    Layout const& layout = setting.layout[at(m)];
    bool const spread = G::plan.sharded[at(m)];
    auto const ranks = setting.mesh[at(m)].world_ranks();
    coverage.few_rows += setting.data.samples_per_episode < loop.shares_of(m) ? 1 : 0;
    coverage.pipeline += layout.pipeline > 1 ? 1 : 0;
    coverage.expert += layout.expert > 1 ? 1 : 0;
    coverage.sharded_shares += layout.sharded() > 1 && spread ? 1 : 0;
    coverage.sharded_copies += layout.sharded() > 1 && !spread ? 1 : 0;
    coverage.permuted += *std::max_element(ranks.begin(), ranks.end()) != ranks.back() ? 1 : 0;
  }
}

/// Chosen so that `covers` holds.
template <class Visit>
constexpr void for_each_graph(Visit&& visit) {
  visit(Graph<11>{});
  visit(Graph<22>{});
  visit(Graph<36>{});
  visit(Graph<43>{});
  visit(Graph<56>{});
  visit(Graph<60>{});
  visit(Graph<73>{});
}

/// Whether some graph has what `feature(plan)` asks for.
template <class Feature>
constexpr bool covers(Feature feature) {
  bool found = false;
  for_each_graph([&]<class G>(G) { found = found || feature(G::plan); });
  return found;
}
static_assert(covers([](Plan const& p) { return p.trainer_of(0) >= 0 && p.stage_of(0) >= 0; }),
              "a model that draws, makes a value and is trained");
static_assert(covers([](Plan const& p) { return p.trainer_of(0) < 0 && p.stage_of(0) >= 0; }),
              "a model that draws and makes a value");
static_assert(covers([](Plan const& p) { return p.stage_of(p.trained[0]) > 1; }),
              "a model that makes a value of a made value and is trained");
static_assert(covers([](Plan const& p) { return p.syncs == 2 && p.from[1] == p.to[0]; }),
              "weights that go on to a second model");
static_assert(covers([](Plan const& p) { return p.syncs == 2 && p.from[1] != p.to[0]; }),
              "two syncs");
static_assert(covers([](Plan const& p) { return p.trainers == 2 && p.computed[1]; }) ||
                  covers([](Plan const& p) { return p.trainers == 2 && p.computed[2]; }),
              "a function's value, and two trainers");
static_assert(covers([](Plan const& p) { return p.wrapped[0] && std::has_single_bit(p.batch[0]); }),
              "a batch of one value that is not that value");
static_assert(covers([](Plan const& p) {
                return !p.wrapped[0] && std::has_single_bit(p.batch[0]);
              }),
              "a batch that is a value");
static_assert(covers([](Plan const& p) { return p.values == most_values; }), "many values");

template <class G>
Dice dice_of(std::uint64_t seed) {
  return Dice(1000 * G::seed + seed);
}

void compare(std::vector<Record> const& found, std::vector<Record> const& expected) {
  for (std::size_t rank = 0; rank < found.size(); ++rank) {
    CAPTURE(rank);
    CHECK(found[rank].rows == expected[rank].rows);
    CHECK(found[rank].looked == expected[rank].looked);
    for (std::size_t value = 0; value < at(most_values); ++value) {
      CAPTURE(value);
      CHECK(found[rank].made[value] == expected[rank].made[value]);
    }
    for (std::size_t model = 0; model < at(most_models); ++model) {
      CAPTURE(model);
      CHECK(found[rank].weights[model] == expected[rank].weights[model]);
    }
  }
}
template <class G>
void check_graph(std::uint64_t seed) {
  Dice dice = dice_of<G>(seed);
  Setting const setting = some_setting<G>(dice);
  ByHand<G> by_hand(setting);
  by_hand.run();
  std::vector<Record> expected;
  expected.reserve(at(setting.ranks));
  for (int rank = 0; rank < setting.ranks; ++rank) {
    expected.push_back(by_hand.record_of(rank));
  }
  compare(by_engine<G>(setting), expected);
}

}  // namespace

TEST_CASE("whatever the graph and the layouts, values and weights are those of one rank") {
  for (std::uint64_t seed = 0; seed < cases::to_try(settings); ++seed) {
    CAPTURE(seed);
    for_each_graph([&]<class G>(G) {
      INFO("graph ", G::seed);
      check_graph<G>(seed);
    });
  }
}

TEST_CASE("the cases of graphs have in them what makes them hard") {
  Coverage coverage;
  for (std::uint64_t seed = 0; seed < settings; ++seed) {
    for_each_graph([&]<class G>(G) {
      Dice dice = dice_of<G>(seed);
      count<G>(coverage, some_setting<G>(dice));
    });
  }
  CHECK(coverage.few_rows >= 10);
  CHECK(coverage.ahead >= 10);
  CHECK(coverage.pipeline >= 10);
  CHECK(coverage.expert >= 10);
  CHECK(coverage.sharded_shares >= 10);
  CHECK(coverage.sharded_copies >= 10);
  CHECK(coverage.permuted >= 10);
}
