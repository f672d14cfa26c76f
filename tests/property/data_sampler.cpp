// Laws of the sampler, over generated options.
#include <rlhf/core/error.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/data/cursor.hpp>
#include <rlhf/data/order.hpp>
#include <rlhf/data/sampler.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;
using Draws = std::vector<data::Draw>;

namespace {

/// Numbers of one generated case.
class Choice {
 public:
  explicit Choice(std::uint64_t seed) : random_(seed, 17) {}
  std::int64_t from_to(std::int64_t from, std::int64_t to) {
    return from + random_.below(next_++, static_cast<std::uint32_t>(to - from + 1));
  }
  bool coin() { return from_to(0, 1) == 1; }

 private:
  rlhf::CounterRandom random_;
  std::uint64_t next_ = 0;
};

/// Any options that `Mode` accepts; consumed is 0.
data::SamplerOptions any_options(Choice& choice, data::Exhausted mode) {
  data::SamplerOptions options;
  std::int64_t const datasets = mode == data::Exhausted::cycle ? choice.from_to(1, 4) : 1;
  for (std::int64_t d = 0; d < datasets; ++d) {
    options.dataset_sizes.push_back(choice.from_to(1, 30));
    options.ratios.push_back(choice.from_to(0, 4));
  }
  options.ratios[static_cast<std::size_t>(choice.from_to(0, datasets - 1))] += 1;
  options.repeats = choice.from_to(1, 4);
  std::int64_t const most = mode == data::Exhausted::drop ? options.dataset_sizes[0] : 40;
  options.samples_per_episode = options.repeats * choice.from_to(1, most);
  options.shuffle = choice.coin();
  options.repeat = choice.coin() ? data::Repeat::adjacent : data::Repeat::whole_list;
  options.seed = static_cast<std::uint64_t>(choice.from_to(0, 1000));
  options.seeding = choice.coin() ? data::Seeding::shared : data::Seeding::per_dataset;
  return options;
}

/// In place of the ratios, sometimes: real weights, or weights that change on the way.
void maybe_weights(Choice& choice, data::SamplerOptions& options) {
  std::int64_t const kind = choice.from_to(0, 3);
  if (kind > 1) {
    return;
  }
  std::size_t const datasets = options.dataset_sizes.size();
  auto const weights = [&] {
    std::vector<double> out;
    for (std::size_t d = 0; d < datasets; ++d) {
      out.push_back(choice.coin() ? static_cast<double>(choice.from_to(0, 1000)) / 999.0 : 0.25);
    }
    out[static_cast<std::size_t>(choice.from_to(0, static_cast<std::int64_t>(datasets) - 1))] += 1;
    return out;
  };
  options.ratios.clear();
  if (kind == 0) {
    options.weights = weights();
    return;
  }
  std::int64_t begin = 0;
  for (std::int64_t stages = choice.from_to(1, 5); stages > 0; --stages) {
    options.schedule.push_back({begin, weights()});
    begin += choice.from_to(1, 90);
  }
}

template <class Sampler>
Draws next(Sampler& sampler) {
  Draws draws;
  sampler.next(0, 1, draws);
  return draws;
}

/// The prompts of an episode, each once, in order.
Draws prompts_of(Draws draws) {
  std::stable_sort(draws.begin(), draws.end(),
                   [](data::Draw const& a, data::Draw const& b) { return a.id < b.id; });
  draws.erase(std::unique(draws.begin(), draws.end()), draws.end());
  return draws;
}

/// Prompt `position` of an endless run in mode cycle, straight from the definition.
data::Draw prompt_at(data::SamplerOptions const& options, std::int64_t position) {
  std::int64_t const round =
      std::accumulate(options.ratios.begin(), options.ratios.end(), std::int64_t{0});
  std::int64_t within = position % round;
  std::size_t d = 0;
  for (; within >= options.ratios[d]; ++d) {
    within -= options.ratios[d];
  }
  std::int64_t const taken = position / round * options.ratios[d] + within;
  std::int64_t const size = options.dataset_sizes[d];
  std::int64_t index = taken % size;
  if (options.shuffle) {
    index = data::TorchOrder::Permutation(data::dataset_seed(options.seed, options.seeding, d),
                                          taken / size, size)[index];
  }
  return data::Draw{static_cast<std::int32_t>(d), index, 0};
}

template <data::Exhausted Mode, class Order = data::TorchOrder>
void resume_everywhere(std::uint64_t cases) {
  for (std::uint64_t i = 0; i < cases; ++i) {
    CAPTURE(i);
    Choice choice(i);
    data::SamplerOptions options = any_options(choice, Mode);
    maybe_weights(choice, options);
    if (choice.coin()) {  // from an odd place too, such as after a change of the episode's size
      options.consumed = options.repeats * choice.from_to(0, 100);
    }
    using Sampler = data::Sampler<Order, Mode>;
    Sampler straight(options);
    Sampler often(options);  // stopped after every episode
    for (int episode = 0; episode < 12; ++episode) {
      data::SamplerOptions resumed_options = options;
      resumed_options.consumed = straight.consumed();
      Sampler resumed(resumed_options);
      Sampler fresh(options);
      fresh.restore(data::parse_sampler_state(data::to_text(often.state())));
      often = std::move(fresh);
      Draws const expected = next(straight);
      CHECK(next(often) == expected);
      CHECK(often.consumed() == straight.consumed());
      // The resumed run has another number of replicas, and each is its own sampler.
      int const replicas = static_cast<int>(choice.from_to(1, 6));
      Draws joined;
      Draws share;
      for (int replica = 0; replica < replicas; ++replica) {
        Sampler one = resumed;
        one.next(replica, replicas, share);
        joined.insert(joined.end(), share.begin(), share.end());
      }
      CHECK(joined == expected);
    }
  }
}

}  // namespace

TEST_CASE("a run that stops and resumes is the run that never stopped") {
  SUBCASE("cycle") {
    resume_everywhere<data::Exhausted::cycle>(120);
    resume_everywhere<data::Exhausted::cycle, data::KeyedOrder>(120);
  }
  SUBCASE("drop") {
    resume_everywhere<data::Exhausted::drop>(120);
    resume_everywhere<data::Exhausted::drop, data::KeyedOrder>(60);
  }
  SUBCASE("retain") {
    resume_everywhere<data::Exhausted::retain>(120);
    resume_everywhere<data::Exhausted::retain, data::KeyedOrder>(60);
  }
}

TEST_CASE("any position, any number of times, any batch size and ranks: one stream of prompts") {
  // The stream of a run whose episodes are of one prompt is what every other run draws from,
  // however its episodes and ranks change on the way. In mode cycle that is all there is to know.
  for (std::uint64_t i = 0; i < 60; ++i) {
    CAPTURE(i);
    Choice choice(i);
    data::SamplerOptions options = any_options(choice, data::Exhausted::cycle);
    maybe_weights(choice, options);
    options.repeats = 1;
    options.samples_per_episode = 1;
    data::Sampler<data::KeyedOrder> one_by_one(options);
    Draws stream;
    for (int k = 0; k < 260; ++k) {
      stream.push_back(next(one_by_one).at(0));
    }
    options.samples_per_episode = choice.from_to(1, 60);
    for (std::int64_t position = 0; position < 200; ++position) {  // every one, epoch ends included
      options.consumed = position;
      data::Sampler<data::KeyedOrder> from_there(options);
      CHECK(from_there.consumed() == position);
      std::int64_t id = 0;
      for (data::Draw const& draw : next(from_there)) {
        data::Draw expected = stream.at(static_cast<std::size_t>(position + id));
        expected.id = id++;
        CHECK(draw == expected);
      }
      CHECK(id == options.samples_per_episode);
    }
    options.consumed = 0;
    data::SamplerState state = data::Sampler<data::KeyedOrder>(options).state();
    for (std::int64_t position = 0; position < 200;) {
      options.samples_per_episode = choice.from_to(1, 60);
      int const replicas = static_cast<int>(choice.from_to(1, 5));
      Draws joined;
      Draws share;
      data::SamplerState after;
      for (int replica = 0; replica < replicas; ++replica) {
        data::Sampler<data::KeyedOrder> sampler(options);
        sampler.restore(state, data::AcceptedChanges{.episode = true});
        sampler.next(replica, replicas, share);
        joined.insert(joined.end(), share.begin(), share.end());
        after = sampler.state();
      }
      std::int64_t id = 0;
      for (data::Draw const& draw : joined) {
        data::Draw expected = stream.at(static_cast<std::size_t>(position++));
        expected.id = id++;
        CHECK(draw == expected);
      }
      CHECK(after.consumed == position);
      state = after;
    }
  }
}

namespace {

/// The number behind "consumed = " in the refusal of a state; -1 when it was taken.
template <class Sampler>
std::int64_t refused_for(Sampler& sampler, data::SamplerState const& state) {
  try {
    sampler.restore(state, {.episode = true});
    return -1;
  } catch (rlhf::Error const& error) {
    std::string const words(error.message());
    std::string const before = "SamplerOptions::consumed = ";
    return std::stoll(words.substr(words.find(before) + before.size()));
  }
}

/// A run whose episodes change their size at every resume, against an epoch and an offset.
template <data::Exhausted Mode>
void check_changing_episodes(std::uint64_t seed, int& refused) {
  using Sampler = data::Sampler<data::KeyedOrder, Mode>;
  Choice choice(seed);
  data::SamplerOptions options = any_options(choice, Mode);
  std::int64_t const size = options.dataset_sizes[0];
  options.repeats = 1;
  std::int64_t const most = Mode == data::Exhausted::drop ? size : 40;
  std::int64_t epoch = 0;
  std::int64_t offset = 0;
  options.samples_per_episode = choice.from_to(1, most);
  data::SamplerState state = Sampler(options).state();
  for (int resume = 0; resume < 25; ++resume) {
    std::int64_t const batch = choice.coin() ? choice.from_to(1, most) : state.samples_per_episode;
    options.samples_per_episode = batch;
    options.consumed = 0;
    Sampler sampler(options);
    std::int64_t const right = refused_for(sampler, state);
    if (right >= 0) {
      CHECK(Mode == data::Exhausted::drop);
      CHECK(right != state.consumed);
      ++refused;
      options.consumed = right;
      sampler = Sampler(options);
    } else {
      CHECK(sampler.consumed() >= state.consumed);  // ids are never used again
    }
    auto const leave_rest = [&] {
      if (size - offset < (Mode == data::Exhausted::drop ? batch : 1)) {
        ++epoch;
        offset = 0;
      }
    };
    leave_rest();
    for (std::int64_t episodes = choice.from_to(1, 4); episodes > 0; --episodes) {
      typename data::KeyedOrder::Permutation const order(
          data::dataset_seed(options.seed, options.seeding, 0), epoch, size);
      Draws const drawn = next(sampler);
      CHECK(static_cast<std::int64_t>(drawn.size()) == std::min(batch, size - offset));
      for (data::Draw const& draw : drawn) {
        CHECK(draw.index == (options.shuffle ? order[offset] : offset));
        ++offset;
      }
      leave_rest();
    }
    state = sampler.state();
  }
}

}  // namespace

TEST_CASE(
    "drop and retain: any position, any number of times, any episodes: one place after other") {
  int refused = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    CAPTURE(i);
    check_changing_episodes<data::Exhausted::retain>(i, refused);
  }
  CHECK(refused == 0);
  for (std::uint64_t i = 0; i < 300; ++i) {
    CAPTURE(i);
    check_changing_episodes<data::Exhausted::drop>(i, refused);
  }
  CHECK(refused > 100);
}

TEST_CASE("over all ranks, each item of each dataset comes once an epoch") {
  for (std::uint64_t i = 0; i < 60; ++i) {
    CAPTURE(i);
    Choice choice(i);
    data::SamplerOptions options = any_options(choice, data::Exhausted::cycle);
    maybe_weights(choice, options);
    int const replicas = static_cast<int>(choice.from_to(1, 5));
    std::vector<data::Sampler<data::KeyedOrder>> ranks(static_cast<std::size_t>(replicas),
                                                       data::Sampler<data::KeyedOrder>(options));
    std::vector<Draws> by_dataset(options.dataset_sizes.size());
    Draws share;
    for (int episode = 0; episode < 12; ++episode) {
      Draws joined;
      for (int replica = 0; replica < replicas; ++replica) {
        ranks[static_cast<std::size_t>(replica)].next(replica, replicas, share);
        joined.insert(joined.end(), share.begin(), share.end());
      }
      for (data::Draw const& prompt : prompts_of(joined)) {
        by_dataset.at(static_cast<std::size_t>(prompt.dataset)).push_back(prompt);
      }
    }
    for (std::size_t d = 0; d < by_dataset.size(); ++d) {
      std::size_t const size = static_cast<std::size_t>(options.dataset_sizes[d]);
      for (std::size_t begin = 0; begin + size <= by_dataset[d].size(); begin += size) {
        std::vector<int> seen(size, 0);
        for (std::size_t k = begin; k < begin + size; ++k) {
          ++seen.at(static_cast<std::size_t>(by_dataset[d][k].index));
        }
        CHECK(seen == std::vector<int>(size, 1));
      }
    }
  }
}

TEST_CASE("every epoch of every order is a permutation") {
  for (std::uint64_t i = 0; i < 60; ++i) {
    Choice choice(i);
    std::int64_t const size = choice.from_to(1, 300);
    data::CursorOptions options;
    options.size = size;
    options.seed = static_cast<std::uint64_t>(choice.from_to(0, 99));
    data::Cursor<data::TorchOrder> torch(options);
    data::Cursor<data::KeyedOrder> keyed(options);
    for (int epoch = 0; epoch < 4; ++epoch) {
      std::vector<int> seen(static_cast<std::size_t>(size), 0);
      auto const sink = [&](std::int64_t index) { ++seen.at(static_cast<std::size_t>(index)); };
      torch.take(size, sink);
      CHECK(seen == std::vector<int>(static_cast<std::size_t>(size), 1));
      keyed.take(size, sink);
      CHECK(seen == std::vector<int>(static_cast<std::size_t>(size), 2));
    }
  }
}

TEST_CASE("shares of replicas are contiguous, even, and make up the episode") {
  for (std::uint64_t i = 0; i < 150; ++i) {
    CAPTURE(i);
    Choice choice(i);
    data::SamplerOptions const options = any_options(choice, data::Exhausted::cycle);
    data::Sampler<> whole(options);
    Draws const all = next(whole);
    CHECK(static_cast<std::int64_t>(all.size()) == options.samples_per_episode);
    int const replicas = static_cast<int>(choice.from_to(1, options.samples_per_episode + 5));
    Draws joined;
    Draws share;
    for (int replica = 0; replica < replicas; ++replica) {
      data::Sampler<> one(options);
      one.next(replica, replicas, share);
      std::int64_t const size = static_cast<std::int64_t>(share.size());
      CHECK((size == options.samples_per_episode / replicas ||
             size == options.samples_per_episode / replicas + 1));
      joined.insert(joined.end(), share.begin(), share.end());
    }
    CHECK(joined == all);
  }
}

TEST_CASE("each prompt comes `repeats` times under one id") {
  for (std::uint64_t i = 0; i < 100; ++i) {
    Choice choice(i);
    data::SamplerOptions const options = any_options(choice, data::Exhausted::cycle);
    data::Sampler<> sampler(options);
    Draws const draws = next(sampler);
    std::map<std::int64_t, std::int64_t> copies;
    for (data::Draw const& draw : draws) {
      ++copies[draw.id];
    }
    std::int64_t const prompts = options.samples_per_episode / options.repeats;
    CHECK(static_cast<std::int64_t>(copies.size()) == prompts);
    CHECK(copies.rbegin()->first == prompts - 1);
    CHECK(std::all_of(copies.begin(), copies.end(),
                      [&](auto const& id) { return id.second == options.repeats; }));
    CHECK(static_cast<std::int64_t>(prompts_of(draws).size()) == prompts);
  }
}

TEST_CASE("a mixture is what its definition says at every position, and exact in every round") {
  for (std::uint64_t i = 0; i < 120; ++i) {
    CAPTURE(i);
    Choice choice(i);
    data::SamplerOptions const options = any_options(choice, data::Exhausted::cycle);
    std::int64_t const round =
        std::accumulate(options.ratios.begin(), options.ratios.end(), std::int64_t{0});
    data::Sampler<> sampler(options);
    std::int64_t position = 0;
    std::vector<std::int64_t> drawn(options.ratios.size(), 0);
    for (int episode = 0; episode < 8; ++episode) {
      for (data::Draw const& prompt : prompts_of(next(sampler))) {
        data::Draw const expected = prompt_at(options, position++);
        CHECK(prompt.dataset == expected.dataset);
        CHECK(prompt.index == expected.index);
        ++drawn[static_cast<std::size_t>(prompt.dataset)];
        if (position % round == 0) {
          for (std::size_t d = 0; d < drawn.size(); ++d) {
            CHECK(drawn[d] == position / round * options.ratios[d]);
          }
        }
      }
    }
  }
}

TEST_CASE("retain gives every item once an epoch and no empty episode; drop gives full ones") {
  for (std::uint64_t i = 0; i < 150; ++i) {
    CAPTURE(i);
    Choice choice(i);
    data::SamplerOptions const options = any_options(choice, data::Exhausted::retain);
    data::Sampler<data::TorchOrder, data::Exhausted::retain> sampler(options);
    for (int epoch = 0; epoch < 3; ++epoch) {
      std::vector<int> seen(static_cast<std::size_t>(options.dataset_sizes[0]), 0);
      std::size_t items = 0;
      while (items < seen.size()) {
        Draws const prompts = prompts_of(next(sampler));
        REQUIRE(!prompts.empty());
        for (data::Draw const& prompt : prompts) {
          ++seen.at(static_cast<std::size_t>(prompt.index));
          ++items;
        }
      }
      CHECK(seen == std::vector<int>(seen.size(), 1));
    }
  }
  for (std::uint64_t i = 0; i < 150; ++i) {
    CAPTURE(i);
    Choice choice(i);
    data::SamplerOptions const options = any_options(choice, data::Exhausted::drop);
    data::Sampler<data::TorchOrder, data::Exhausted::drop> sampler(options);
    std::int64_t const batch = options.samples_per_episode / options.repeats;
    for (int epoch = 0; epoch < 3; ++epoch) {
      std::vector<int> seen(static_cast<std::size_t>(options.dataset_sizes[0]), 0);
      for (std::int64_t b = 0; b < options.dataset_sizes[0] / batch; ++b) {
        Draws const prompts = prompts_of(next(sampler));
        CHECK(static_cast<std::int64_t>(prompts.size()) == batch);
        for (data::Draw const& prompt : prompts) {
          CHECK(++seen.at(static_cast<std::size_t>(prompt.index)) == 1);
        }
      }
    }
  }
}
