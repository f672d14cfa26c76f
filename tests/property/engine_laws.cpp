// Engines: whatever the layouts, the ranks and the micro-batches, a run does what the same loop
// written out for one rank does; so does one that was killed and goes on.
#include <rlhf/data/shuffle.hpp>

#include <cstdlib>
#include <map>
#include <optional>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/engine_models.hpp"
#include "ranks/world.hpp"
#include "unit/checkpoint/temporary_directory.hpp"

namespace {

using cases::Dice;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::comm::Local;
namespace engine = rlhf::engine;

struct Setting {
  Mesh generator, reference, critic, actor;
  Layout generator_layout, reference_layout, critic_layout, actor_layout;
  int ranks = 1;
  int half = 1;  ///< Ranks below it are the generator's, where it is apart.
  engine::Options options{};
  engine::TrainOptions train{};
  engine::StageOptions stage{};
  rlhf::data::SamplerOptions data{};
};

/// Weights at the end, and the versions that generated each episode.
struct Result {
  std::vector<std::int64_t> actor, critic;
  std::vector<std::int64_t> versions;
  bool operator==(Result const&) const = default;
};

/// The loop for one rank, with weights whole.
template <class Sync>
Result by_hand(Setting const& setting) {
  auto const fresh = [](std::int64_t seed) {
    std::vector<std::int64_t> w;
    for (std::int64_t j = 0; j < toy::width; ++j) {
      w.push_back(toy::mix(seed, j));
    }
    return w;
  };
  Result result{fresh(1), fresh(2), {}};
  std::vector<std::int64_t> const reference = result.actor;
  std::map<std::int64_t, std::vector<std::int64_t>> version{{0, result.actor}};
  std::map<std::int64_t, toy::Prompts> prompts;
  auto sampler = rlhf::data::make_sampler<rlhf::data::RuntimeMixture<>>(setting.data);
  auto const ask = [&](std::int64_t) {
    std::vector<rlhf::data::Draw> draws;
    sampler.next(0, 1, draws);
    return toy::prompts_of(draws);
  };
  std::int64_t const ahead = setting.options.episodes_ahead;
  std::map<std::int64_t, toy::Answers> answers;
  std::map<std::int64_t, std::int64_t> versions;
  std::vector<std::pair<std::int64_t, toy::Experience>> kept;  // what is trained on, by episode
  auto const generate = [&](std::int64_t e) {
    prompts[e] = ask(e);
    versions[e] = version.rbegin()->first;
    std::vector<std::int64_t> const& w = version.rbegin()->second;
    toy::Answers& out = answers[e];
    out.id = prompts[e].id;
    for (std::int64_t r = 0; r < prompts[e].words.size(); ++r) {
      std::vector<std::int64_t> tokens;
      for (std::int32_t const word : prompts[e].words[r]) {
        std::int64_t sum = 0;
        for (std::int64_t j = 0; j < toy::width; ++j) {
          sum += toy::part_of_token(word, j, w[static_cast<std::size_t>(j)]);
        }
        tokens.push_back(toy::mix(sum, e));
      }
      out.tokens.push_back(tokens);
    }
  };
  auto const step = [&](std::vector<std::int64_t>& w, toy::Experience const& all,
                        std::span<std::int64_t const> rows) {
    std::vector<std::int64_t> next = w;
    for (std::size_t j = 0; j < w.size(); ++j) {
      std::int64_t gradient = 0;
      for (std::int64_t const row : rows) {
        gradient += toy::gradient_of(all.id[static_cast<std::size_t>(row)],
                                     all.signal[static_cast<std::size_t>(row)],
                                     static_cast<std::int64_t>(j), w[j]);
      }
      next[j] = (w[j] + gradient) % toy::modulus;
    }
    w = next;
  };
  for (std::int64_t e = 0; e < std::min(ahead, setting.options.episodes); ++e) {
    generate(e);
  }
  for (std::int64_t e = 0; e < setting.options.episodes; ++e) {
    if (e + ahead < setting.options.episodes) {
      generate(e + ahead);
    }
    result.versions.push_back(versions[e]);
    toy::Scores scores;
    toy::Values values;
    for (std::size_t r = 0; r < answers[e].id.size(); ++r) {
      std::int64_t score = 0;
      std::int64_t value = 0;
      for (std::int64_t j = 0; j < toy::width; ++j) {
        score += toy::Reference::score_part(prompts[e].text[r],
                                            answers[e].tokens[static_cast<std::int64_t>(r)], j,
                                            reference[static_cast<std::size_t>(j)]);
        value +=
            toy::part_of_token(answers[e].id[r], j, result.critic[static_cast<std::size_t>(j)]);
      }
      scores.score.push_back(score);
      values.value.push_back(value);
    }
    kept.emplace_back(e, toy::experience_of(answers[e], scores, values));
    std::int64_t const most = setting.train.replay_episodes;
    while (kept.size() > 1 && (kept.front().first < setting.train.replay_from ||
                               (most >= 0 && static_cast<std::int64_t>(kept.size()) > most))) {
      kept.erase(kept.begin());
    }
    toy::Experience all;
    for (auto const& one : kept) {
      all.id.insert(all.id.end(), one.second.id.begin(), one.second.id.end());
      all.signal.insert(all.signal.end(), one.second.signal.begin(), one.second.signal.end());
    }
    auto const rows = static_cast<std::int64_t>(all.id.size());
    for (std::vector<std::int64_t>* w : {&result.actor, &result.critic}) {
      for (std::int64_t epoch = 0; epoch < setting.train.epochs; ++epoch) {
        std::vector<std::int64_t> order;
        if (setting.train.shuffle != engine::Shuffle::none) {
          bool const single =
              setting.train.shuffle == engine::Shuffle::rows || setting.train.micro_batch < 1;
          std::int64_t const run = single ? 1 : setting.train.micro_batch;
          for (std::int64_t const first :
               rlhf::data::shuffled((rows + run - 1) / run, setting.options.seed,
                                    e * setting.train.epochs + epoch)) {
            for (std::int64_t r = first * run; r < std::min(rows, (first + 1) * run); ++r) {
              order.push_back(r);
            }
          }
        } else {
          for (std::int64_t r = 0; r < rows; ++r) {
            order.push_back(r);
          }
        }
        std::int64_t const global =
            setting.train.global_batch <= 0 ? rows : setting.train.global_batch;
        for (std::int64_t begin = 0; begin < rows; begin += global) {
          step(*w, all,
               std::span<std::int64_t const>(order).subspan(
                   static_cast<std::size_t>(begin),
                   static_cast<std::size_t>(std::min(global, rows - begin))));
        }
      }
    }
    if (rlhf::sync::due(Sync::frequency, e + 1)) {
      version[e + 1] = result.actor;
    }
  }
  return result;
}

/// Stops the run by an error when it is asked for.
struct Watch {
  std::vector<std::int64_t>* versions;
  std::int64_t stop_after = -1;
  void finished(engine::EpisodeReport const& report) {
    versions->push_back(report.version);
    if (stop_after >= 0 && report.episode + 1 >= stop_after) {
      throw std::runtime_error("stopped by the test");
    }
  }
};

template <class Sync>
std::optional<Result> by_engine(Setting const& setting, std::int64_t stop_after = -1) {
  Result result;
  std::vector<std::int64_t> versions;
  auto const end = ranks::run_world(setting.ranks, ranks::long_timeout, [&](Local& world) {
    toy::Generator<Sync> generator(world, setting.generator, setting.generator_layout, 3);
    toy::Reference reference(world, setting.reference, setting.reference_layout, 4);
    toy::Critic critic(world, setting.critic, setting.critic_layout, 2);
    toy::Actor actor(world, setting.actor, setting.actor_layout, 1);
    generator.open_data(setting.data);
    rlhf::Engine loop(
        world, setting.options, engine::train("policy", actor, setting.train),
        engine::train("values", critic, setting.train),
        engine::compute("experience", actor, &toy::experience_of),
        engine::stage("reference", reference, setting.stage), engine::stage("estimate", critic),
        engine::stage("generate", generator, setting.stage),
        engine::prompts("prompts", generator, &toy::prompts_of),
        engine::sync("weights", actor, generator), engine::sync("frozen", actor, reference));
    std::vector<std::int64_t> own;
    loop.run(Watch{world.rank() == 0 ? &versions : &own, stop_after});
    auto const whole = [&](auto& model) {
      std::vector<std::int64_t> all(static_cast<std::size_t>(toy::width), 0);
      if (model.present() && model.coordinate().data == 0 && model.coordinate().pipeline == 0) {
        for (std::size_t j = 0; j < model.w.size(); ++j) {
          all[static_cast<std::size_t>(model.first) + j] = model.w[j];
        }
      }
      rlhf::comm::all_reduce(world, std::span<std::int64_t>(all), rlhf::comm::Reduce::max);
      return all;
    };
    std::vector<std::int64_t> const actor_w = whole(actor);
    std::vector<std::int64_t> const critic_w = whole(critic);
    if (world.rank() == 0) {
      result = {actor_w, critic_w, versions};
    }
  });
  if (end.world.failed) {
    if (stop_after < 0) {
      FAIL(end.world.text);
    }
    return std::nullopt;
  }
  return result;
}

Mesh some_ranks(Dice& dice, int first, int last, int count) {
  std::vector<int> ranks;
  for (int r = first; r < last; ++r) {
    ranks.push_back(r);
  }
  dice.shuffle(ranks);
  ranks.resize(static_cast<std::size_t>(count));
  return Mesh(std::move(ranks));
}
Layout some_layout(Dice& dice, int most) {
  while (true) {
    Layout const layout{.tensor = dice.pick({1, 2, 3}), .data = dice.pick({1, 2, 3})};
    if (layout.ranks() <= most) {
      return layout;
    }
  }
}

/// Draws where the modules are. Apart: the generator has ranks of its own.
void lay_out(Dice& dice, Setting& s, int half, bool apart) {
  int const first = apart ? half : 0;
  s.generator_layout = some_layout(dice, apart ? half : s.ranks);
  s.generator = some_ranks(dice, 0, apart ? half : s.ranks, s.generator_layout.ranks());
  s.actor_layout = some_layout(dice, s.ranks - first);
  s.actor = some_ranks(dice, first, s.ranks, s.actor_layout.ranks());
  s.critic_layout = some_layout(dice, s.ranks - first);
  s.critic = some_ranks(dice, first, s.ranks, s.critic_layout.ranks());
  s.reference_layout = some_layout(dice, s.ranks);
  s.reference = some_ranks(dice, 0, s.ranks, s.reference_layout.ranks());
}
/// Whether the reference has no ranks of trainers, so that it runs ahead with the generator.
[[nodiscard]] bool is_reference_ahead(Setting const& s) {
  bool apart = true;
  for (int const rank : s.reference.world_ranks()) {
    apart = apart && s.actor.rank_of(rank) < 0 && s.critic.rank_of(rank) < 0;
  }
  return apart;
}

Setting some_setting(Dice& dice, bool apart) {
  Setting s;
  s.half = dice.between(1, 3);
  s.ranks = s.half + dice.between(1, 3);
  lay_out(dice, s, s.half, apart);
  s.options.episodes = dice.between(1, 6);
  s.options.episodes_ahead = apart ? dice.between(0, 2) : 0;
  s.options.seed = dice.word();
  s.train.global_batch = dice.between(0, 9);
  s.train.micro_batch = dice.between(0, 3);
  s.train.epochs = dice.between(1, 2);
  s.train.shuffle =
      dice.pick({engine::Shuffle::none, engine::Shuffle::rows, engine::Shuffle::micro_batches});
  s.train.replay_episodes = dice.one_in(2) ? 1 : dice.pick({2, 3, -1});
  s.train.replay_from = dice.between(0, 2);
  s.stage.batch = dice.between(0, 3);
  s.data.dataset_sizes = {dice.between(5, 30), dice.between(5, 30)};
  s.data.ratios = {dice.between(1, 3), dice.between(1, 3)};
  s.data.samples_per_episode = dice.between(1, 12);
  s.data.seed = dice.word();
  return s;
}

}  // namespace

TEST_CASE("a run does what the same loop for one rank does, whatever the layouts") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    Dice dice(seed);
    Setting setting = some_setting(dice, dice.one_in(2));
    bool const slow = dice.one_in(2);
    auto const bound = setting.options.episodes_ahead + (slow ? 1 : 0);
    setting.options.max_version_lag = dice.one_in(2) ? bound : -1;
    std::optional<Result> const found =
        slow ? by_engine<toy::SlowSync>(setting) : by_engine<toy::EverySync>(setting);
    REQUIRE(found);
    CHECK(*found == (slow ? by_hand<toy::SlowSync>(setting) : by_hand<toy::EverySync>(setting)));
    for (std::size_t e = 0; e < found->versions.size(); ++e) {
      CHECK(static_cast<std::int64_t>(e) - found->versions[e] <= bound);
    }
  }
}

TEST_CASE(
    "a run that is stopped, any number of times, and laid out anew, ends as one that was not") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    Dice dice(1000 + seed);
    bool const apart = !dice.one_in(3);
    Setting setting = some_setting(dice, apart);
    test::TemporaryDirectory const directory;
    setting.options.checkpoints = directory.path();
    setting.options.save_every = dice.between(1, 3);
    setting.stage.save_outputs = dice.one_in(2);
    bool const slow = dice.one_in(3);
    Result const expected =
        slow ? by_hand<toy::SlowSync>(setting) : by_hand<toy::EverySync>(setting);
    std::optional<Result> found;
    for (int stops = 0; !found; ++stops) {
      std::int64_t const stop_after = stops < 4 ? dice.between(1, 7) : -1;
      found = slow ? by_engine<toy::SlowSync>(setting, stop_after)
                   : by_engine<toy::EverySync>(setting, stop_after);
      bool const ahead = is_reference_ahead(setting);
      if (dice.one_in(2)) {  // more or fewer ranks, as long as the same parts run ahead
        setting.ranks = setting.half + dice.between(1, 3);
        do {
          lay_out(dice, setting, setting.half, apart);
        } while (is_reference_ahead(setting) != ahead);
      }
    }
    CHECK(found->actor == expected.actor);
    CHECK(found->critic == expected.critic);
  }
}
