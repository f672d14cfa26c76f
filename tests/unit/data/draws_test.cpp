#include <rlhf/core/error.hpp>
#include <rlhf/data/draws.hpp>
#include <rlhf/data/sampler.hpp>

#include <cstdint>
#include <set>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;

static_assert(data::DrawSource<data::EpisodeDraws<data::Sampler<>>>);
static_assert(data::DrawSource<data::EvaluationDraws>);
static_assert(!data::DrawSource<int>);

TEST_CASE("ids are places in the whole run: unique over replicas, episodes and a resume") {
  for (int const replicas : {1, 2, 3, 7}) {
    data::SamplerOptions const options{
        .dataset_sizes = {5}, .samples_per_episode = 6, .repeats = 2};
    std::set<std::int64_t> ids;
    for (int replica = 0; replica < replicas; ++replica) {
      data::Sampler<> sampler(options);
      data::EpisodeDraws draws(sampler, replica, replicas);
      data::DrawnShare share;
      std::vector<data::DrawnShare> shares;
      for (std::int64_t episode = 0; episode < 4; ++episode) {
        REQUIRE(draws.next(share));
        CHECK(share.before == episode * 6);
        CHECK(share.after == (episode + 1) * 6);
        for (std::size_t i = 0; i < share.draws.size(); ++i) {
          std::int64_t const id = share.first_id + static_cast<std::int64_t>(i);
          CHECK(ids.insert(id).second);
          CHECK(share.draws[i].id == id % 6 / 2);  // the reference's id: the prompt's place
        }
        shares.push_back(share);
      }
      data::SamplerOptions resumed = options;
      resumed.consumed = shares[2].before;
      data::Sampler<> later(resumed);
      data::EpisodeDraws more(later, replica, replicas);
      REQUIRE(more.next(share));
      CHECK(share.first_id == shares[2].first_id);
      CHECK(share.draws == shares[2].draws);
    }
    CHECK(ids.size() == 24);
    CHECK(*ids.rbegin() == 23);
  }
}

TEST_CASE("short episodes of retain keep ids unique") {
  std::set<std::int64_t> ids;
  for (int replica = 0; replica < 3; ++replica) {
    data::Sampler<data::TorchOrder, data::Exhausted::retain> sampler(
        data::SamplerOptions{.dataset_sizes = {10}, .samples_per_episode = 4});
    data::EpisodeDraws draws(sampler, replica, 3);
    data::DrawnShare share;
    for (int episode = 0; episode < 6; ++episode) {
      REQUIRE(draws.next(share));
      for (std::size_t i = 0; i < share.draws.size(); ++i) {
        CHECK(ids.insert(share.first_id + static_cast<std::int64_t>(i)).second);
      }
    }
  }
  CHECK(ids.size() == 20);
  CHECK(*ids.rbegin() == 19);
}

TEST_CASE("an evaluation ends") {
  data::EvaluationSampler sampler({5, 2}, 1, 2);
  data::EvaluationDraws draws(sampler, 2);
  data::DrawnShare share;
  std::vector<std::int64_t> ids;
  while (draws.next(share)) {
    for (std::size_t i = 0; i < share.draws.size(); ++i) {
      ids.push_back(share.first_id + static_cast<std::int64_t>(i));
      CHECK(ids.back() == share.draws[i].id);
    }
  }
  CHECK(ids == std::vector<std::int64_t>{4, 5, 6});
  CHECK_FALSE(draws.next(share));
  data::Sampler<> training(data::SamplerOptions{.dataset_sizes = {5}, .samples_per_episode = 1});
  CHECK_THROWS_AS(data::EpisodeDraws(training, 2, 2), rlhf::Error);
}
