#include <rlhf/core/error.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/sampler.hpp>

#include <cstdint>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include "support/allocations.hpp"

namespace data = rlhf::data;

namespace {

/// `0.4 0.1 1.0` for the draws of one replica, with `#id` behind each if asked for.
template <class Sampler>
std::string next(Sampler& sampler, int replica = 0, int replicas = 1, bool ids = false) {
  std::vector<data::Draw> draws;
  sampler.next(replica, replicas, draws);
  std::string out;
  for (data::Draw const& draw : draws) {
    out += rlhf::text(out.empty() ? "" : " ", draw.dataset, ".", draw.index);
    if (ids) {
      out += rlhf::text("#", draw.id);
    }
  }
  return out;
}

data::SamplerOptions sequential(std::vector<std::int64_t> sizes, std::int64_t samples) {
  data::SamplerOptions options;
  options.dataset_sizes = std::move(sizes);
  options.samples_per_episode = samples;
  options.shuffle = false;
  return options;
}

}  // namespace

TEST_CASE("a mixture takes its ratios round by round and goes on inside a round") {
  data::SamplerOptions options = sequential({4, 5, 6}, 5);
  options.ratios = {2, 3, 4};
  data::Sampler<> sampler(options);
  CHECK(next(sampler) == "0.0 0.1 1.0 1.1 1.2");
  CHECK(next(sampler) == "2.0 2.1 2.2 2.3 0.2");
  CHECK(next(sampler) == "0.3 1.3 1.4 1.0 2.4");
  CHECK(next(sampler) == "2.5 2.0 2.1 0.0 0.1");
  CHECK(sampler.consumed() == 20);
}

TEST_CASE("copies of a prompt stand together, or the whole list is repeated") {
  data::SamplerOptions options = sequential({5}, 6);
  options.repeats = 2;
  data::Sampler<> first(options);
  data::Sampler<> second(options);
  CHECK(next(first, 0, 2, true) == "0.0#0 0.0#0 0.1#1");
  CHECK(next(second, 1, 2, true) == "0.1#1 0.2#2 0.2#2");
  CHECK(next(first, 0, 2, true) == "0.3#0 0.3#0 0.4#1");
  CHECK(next(second, 1, 2, true) == "0.4#1 0.0#2 0.0#2");
  options.repeat = data::Repeat::whole_list;
  data::Sampler<> whole(options);
  CHECK(next(whole, 1, 2, true) == "0.0#0 0.1#1 0.2#2");
  CHECK(next(whole, 0, 2, true) == "0.3#0 0.4#1 0.0#2");
}

TEST_CASE("the number of replicas changes nothing in the global order") {
  data::SamplerOptions options = sequential({11}, 8);
  options.shuffle = true;
  data::Sampler<> alone(options);
  std::string const all = next(alone);
  std::string joined;
  for (int replica = 0; replica < 11; ++replica) {
    data::Sampler<> one(options);
    std::string const share = next(one, replica, 11);
    CHECK(share.empty() == (replica >= 8));
    joined += (joined.empty() || share.empty() ? "" : " ") + share;
  }
  CHECK(joined == all);
}

TEST_CASE("unless seeds are shared, datasets of one size have orders of their own") {
  data::SamplerOptions options = sequential({50, 50}, 100);
  options.shuffle = true;
  std::vector<data::Draw> draws;
  for (data::Seeding const seeding : {data::Seeding::shared, data::Seeding::per_dataset}) {
    options.seeding = seeding;
    data::Sampler<>(options).next(0, 1, draws);
    int same = 0;
    for (std::size_t i = 0; i < 100; i += 2) {
      same += draws[i].index == draws[i + 1].index ? 1 : 0;
    }
    CHECK((same == 50) == (seeding == data::Seeding::shared));
  }
}

TEST_CASE("an own order policy is used, unless shuffling is off") {
  struct Reversed {
    struct Permutation {
      Permutation(std::uint64_t, std::int64_t, std::int64_t size) : last(size - 1) {}
      std::int64_t operator[](std::int64_t position) const { return last - position; }
      std::int64_t last;
    };
  };
  data::SamplerOptions options = sequential({3}, 3);
  data::Sampler<Reversed> off(options);
  CHECK(next(off) == "0.0 0.1 0.2");
  options.shuffle = true;
  data::Sampler<Reversed> on(options);
  CHECK(next(on) == "0.2 0.1 0.0");
  CHECK(on.state().order == "unnamed");
}

TEST_CASE("retain counts what was really drawn and has no empty episode") {
  data::Sampler<data::TorchOrder, data::Exhausted::retain> sampler(sequential({5}, 4));
  CHECK(next(sampler) == "0.0 0.1 0.2 0.3");
  CHECK(next(sampler) == "0.4");
  CHECK(sampler.consumed() == 5);
  CHECK(next(sampler) == "0.0 0.1 0.2 0.3");
}

TEST_CASE("drop from inside what is left out stands where the next episode begins") {
  data::SamplerOptions options = sequential({10}, 4);
  options.consumed = 7;
  data::Sampler<data::TorchOrder, data::Exhausted::drop> sampler(options);
  CHECK(sampler.consumed() == 8);
  CHECK(next(sampler) == "0.0 0.1 0.2 0.3");
}

TEST_CASE("a sampler refuses what it cannot draw, and a replica that there is not") {
  CHECK_THROWS_WITH_AS((data::Sampler<data::TorchOrder, data::Exhausted::drop>(sequential({3}, 4))),
                       doctest::Contains("never fills an episode of 4 prompts"), rlhf::Error);
  data::SamplerOptions large = sequential({data::TorchOrder::largest_size + 1}, 4);
  CHECK_NOTHROW(data::Sampler<>{large});
  large.shuffle = true;
  CHECK_THROWS_WITH_AS(data::Sampler<>{large},
                       doctest::Contains("the order torch serves at most 214748363"), rlhf::Error);
  data::Sampler<> sampler(sequential({3}, 4));
  std::vector<data::Draw> draws;
  CHECK_THROWS_WITH_AS(sampler.next(2, 2, draws), doctest::Contains("replica 2 is not one of 2"),
                       rlhf::Error);
  CHECK_THROWS_AS(sampler.next(-1, 2, draws), rlhf::Error);
  CHECK(sampler.consumed() == 0);
}

TEST_CASE("restore goes where the state was taken and refuses another run's") {
  data::SamplerOptions options = sequential({5, 9}, 6);
  options.shuffle = true;
  options.dataset_fingerprints = {11, 12};
  data::Sampler<> straight(options);
  static_cast<void>(next(straight));
  data::SamplerState const saved = straight.state();
  data::Sampler<> resumed(options);
  resumed.restore(saved);
  CHECK(resumed.state() == saved);
  CHECK(next(resumed) == next(straight));

  options.dataset_sizes[1] = 10;
  data::Sampler<> other(options);
  CHECK_THROWS_WITH_AS(other.restore(saved),
                       doctest::Contains("the size of dataset 1 was 9, is 10"), rlhf::Error);
  CHECK(other.consumed() == 0);
  other.restore(saved, data::AcceptedChanges{.dataset_sizes = true});
  CHECK(other.consumed() == 6);

  data::SamplerState odd = saved;
  odd.consumed = -6;
  CHECK_THROWS_WITH_AS(resumed.restore(odd), doctest::Contains("stands at -6"), rlhf::Error);
}

TEST_CASE("a policy makes its sampler") {
  using Policy = data::Mixture<data::Ratios<2, 1>, data::SequentialOrder>;
  data::SamplerOptions options = sequential({5, 9}, 6);
  auto sampler = data::make_sampler<Policy>(options);
  CHECK(next(sampler) == "0.0 0.1 1.0 0.2 0.3 1.1");
  options.ratios = {1, 2};
  CHECK_THROWS_WITH_AS(data::make_sampler<Policy>(options),
                       doctest::Contains("differ from those of the data policy"), rlhf::Error);
  auto at_run_time = data::make_sampler<data::RuntimeMixture<>>(options);
  CHECK(next(at_run_time) == "0.0 1.0 1.1 0.1 1.2 1.3");
  options.dataset_sizes = {5};
  CHECK_THROWS_WITH_AS(data::make_sampler<Policy>(options),
                       doctest::Contains("mixes 2 datasets, the options name 1"), rlhf::Error);
}

TEST_CASE("weights that are constants of a policy") {
  using Policy = data::Mixture<data::Weights<3, 1>, data::SequentialOrder>;
  data::SamplerOptions options = sequential({5, 9}, 8);
  auto sampler = data::make_sampler<Policy>(options);
  std::string const drawn = next(sampler);
  options.weights = {0.75, 0.25};
  auto at_run_time = data::make_sampler<data::RuntimeMixture<data::SequentialOrder>>(options);
  CHECK(next(at_run_time) == drawn);
  CHECK(at_run_time.state() == sampler.state());
  CHECK_THROWS_WITH_AS(data::make_sampler<Policy>(options),  // other numbers, in other units
                       doctest::Contains("differ from those of the data policy"), rlhf::Error);
  options.weights = {3, 1};
  CHECK_NOTHROW(data::make_sampler<Policy>(options));
  using InRounds = data::Mixture<data::Ratios<3, 1>>;
  CHECK_THROWS_WITH_AS(data::make_sampler<InRounds>(options),
                       doctest::Contains("differ from those of the data policy"), rlhf::Error);
}

TEST_CASE("a schedule changes the mixture at a prompt of the run, wherever episodes end") {
  data::SamplerOptions options = sequential({100, 100}, 4);
  options.schedule = {{0, {1, 0}}, {6, {0, 1}}};
  data::Sampler<> sampler(options);
  CHECK(next(sampler) == "0.0 0.1 0.2 0.3");
  data::SamplerState const saved = data::parse_sampler_state(data::to_text(sampler.state()));
  CHECK(next(sampler) == "0.4 0.5 1.0 1.1");
  data::Sampler<> resumed(options);
  resumed.restore(saved);
  CHECK(next(resumed, 1, 2) == "1.0 1.1");
  CHECK(resumed.state() == sampler.state());
  options.schedule[1].begin = 7;
  data::Sampler<> other(options);
  CHECK_THROWS_WITH_AS(other.restore(saved), doctest::Contains("from prompt 7: 0 1 (.ratios)"),
                       rlhf::Error);
}

TEST_CASE("a resume against other contents says how to go on with them") {
  data::SamplerOptions options = sequential({5}, 2);
  options.dataset_fingerprints = {1};
  data::Sampler<> sampler(options);
  static_cast<void>(next(sampler));
  options.dataset_fingerprints = {2};
  data::Sampler<> changed(options);
  CHECK_THROWS_WITH_AS(changed.restore(sampler.state()),
                       doctest::Contains("the fingerprint of dataset 0 was 0000000000000001, is "
                                         "0000000000000002 (.contents). Restore the old values, or "
                                         "go on with what there is now: set what stands in "
                                         "brackets in the data::AcceptedChanges given to restore"),
                       rlhf::Error);
  changed.restore(sampler.state(), {.contents = true});
  CHECK(next(changed) == "0.2 0.3");
}

TEST_CASE("any place of a billion items and of many epochs, without a table") {
  data::SamplerOptions options;
  options.dataset_sizes = {1'000'000'000};
  options.samples_per_episode = 64;
  options.consumed = 500'000'000'000 - 32;  // from epoch 499 into epoch 500
  data::Sampler<data::KeyedOrder> sampler(options);
  std::vector<data::Draw> draws;
  sampler.next(0, 1, draws);
  std::uint64_t const seed = data::dataset_seed(0, data::Seeding::per_dataset, 0);
  data::KeyedOrder::Permutation const before(seed, 499, 1'000'000'000);
  data::KeyedOrder::Permutation const after(seed, 500, 1'000'000'000);
  for (std::int64_t i = 0; i < 32; ++i) {
    CHECK(draws[static_cast<std::size_t>(i)].index == before[1'000'000'000 - 32 + i]);
    CHECK(draws[static_cast<std::size_t>(i + 32)].index == after[i]);
  }
}

TEST_CASE("a replica without samples builds no order; one with some builds what it needs") {
  struct Counted {
    struct Permutation {
      Permutation(std::uint64_t, std::int64_t, std::int64_t) { ++built(); }
      std::int64_t operator[](std::int64_t position) const { return position; }
    };
    static int& built() {
      static int count = 0;
      return count;
    }
  };
  data::SamplerOptions options = sequential({4}, 8);
  options.shuffle = true;
  std::vector<data::Draw> draws;
  data::Sampler<Counted> none(options);
  none.next(9, 10, draws);
  CHECK(draws.empty());
  CHECK(Counted::built() == 0);
  data::Sampler<Counted> second_half(options);
  second_half.next(1, 2, draws);
  CHECK(draws.size() == 4);
  CHECK(Counted::built() == 1);
}

TEST_CASE("an episode allocates nothing but the permutation of a new epoch") {
  data::SamplerOptions options = sequential({40, 60}, 20);
  options.repeats = 2;
  options.shuffle = true;
  data::Sampler<> sampler(options);
  std::vector<data::Draw> draws;
  sampler.next(0, 1, draws);
  std::int64_t const before = allocations();
  for (int episode = 1; episode < 24; ++episode) {  // 5 prompts of each dataset an episode
    sampler.next(0, 1, draws);
  }
  CHECK(allocations() - before ==
        (allocations_are_counted() ? 2 + 1
                                   : 0));  // epochs 1 and 2 of the first dataset, 1 of the second
}

TEST_CASE("drop: other episodes are refused where the same number of samples is another place") {
  using Sampler = data::Sampler<data::KeyedOrder, data::Exhausted::drop>;
  auto const state_after = [](std::int64_t episode, int episodes) {
    Sampler sampler(data::SamplerOptions{.dataset_sizes = {10}, .samples_per_episode = episode});
    std::vector<data::Draw> draws;
    for (int e = 0; e < episodes; ++e) {
      sampler.next(0, 1, draws);
    }
    return sampler.state();
  };
  Sampler tens(data::SamplerOptions{.dataset_sizes = {10}, .samples_per_episode = 10});
  CHECK_THROWS_WITH_AS(
      tens.restore(state_after(4, 20), {.episode = true}),
      doctest::Contains(
          "the sampler state stands in epoch 10, behind 0 items of it. With Exhausted::drop, of "
          "episodes of 10 prompts instead of 4, 80 consumed samples would be another place. Keep "
          "the episodes, or go on there with a sampler made with SamplerOptions::consumed = 100"),
      rlhf::Error);
  CHECK(tens.consumed() == 0);
  Sampler fours(data::SamplerOptions{.dataset_sizes = {10}, .samples_per_episode = 4});
  CHECK_THROWS_WITH_AS(fours.restore(state_after(10, 10), {.episode = true}),
                       doctest::Contains("SamplerOptions::consumed = 80"), rlhf::Error);
  CHECK_NOTHROW(fours.restore(state_after(2, 2), {.episode = true}));  // in the first epoch
  CHECK(fours.consumed() == 4);
  Sampler eights(data::SamplerOptions{.dataset_sizes = {10}, .samples_per_episode = 8});
  CHECK_NOTHROW(eights.restore(state_after(4, 20), {.episode = true}));  // as many are left out
  CHECK(eights.consumed() == 80);
}
