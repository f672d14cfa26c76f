#include <rlhf/core/error.hpp>
#include <rlhf/data/evaluation.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;

TEST_CASE("an evaluation gives every item once, in order, evenly") {
  std::vector<std::int64_t> const sizes{5, 0, 2, 11};
  for (int replicas = 1; replicas < 25; ++replicas) {
    for (std::int64_t const at_most : {1, 3, 100}) {
      std::vector<data::Draw> all;
      std::vector<data::Draw> batch;
      for (int replica = 0; replica < replicas; ++replica) {
        data::EvaluationSampler sampler(sizes, replica, replicas);
        std::size_t const before = all.size();
        while (sampler.next(at_most, batch)) {
          CHECK(batch.size() <= static_cast<std::size_t>(at_most));
          all.insert(all.end(), batch.begin(), batch.end());
        }
        CHECK_FALSE(sampler.next(at_most, batch));
        CHECK(batch.empty());
        std::int64_t const share = static_cast<std::int64_t>(all.size() - before);
        CHECK(share == sampler.slice().size());
        CHECK((share == 18 / replicas || share == 18 / replicas + 1));
      }
      REQUIRE(all.size() == 18);
      std::size_t i = 0;
      for (std::int32_t dataset = 0; dataset < 4; ++dataset) {
        for (std::int64_t item = 0; item < sizes[static_cast<std::size_t>(dataset)]; ++item, ++i) {
          CHECK(all[i] == data::Draw{dataset, item, static_cast<std::int64_t>(i)});
        }
      }
    }
  }
}

TEST_CASE("reset begins an evaluation again") {
  data::EvaluationSampler sampler({3, 3}, 1, 2);
  std::vector<data::Draw> first;
  std::vector<data::Draw> again;
  CHECK(sampler.next(2, first));
  sampler.reset();
  CHECK(sampler.next(2, again));
  CHECK(first == again);
  CHECK(first == std::vector<data::Draw>{{1, 0, 3}, {1, 1, 4}});
}

TEST_CASE("an evaluation of nothing ends at once; a wrong replica or size is an error") {
  data::EvaluationSampler nothing({}, 0, 1);
  std::vector<data::Draw> batch;
  CHECK_FALSE(nothing.next(1, batch));
  CHECK_THROWS_AS(data::EvaluationSampler({1}, 1, 1), rlhf::Error);
  CHECK_THROWS_AS(data::EvaluationSampler({-1}, 0, 1), rlhf::Error);
  CHECK_THROWS_AS(data::EvaluationSampler({INT64_MAX, 1}, 0, 1), rlhf::Error);
  CHECK_THROWS_AS(nothing.next(0, batch), rlhf::Error);
}
