#include <rlhf/core/error.hpp>
#include <rlhf/data/rollout_buffer.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <unit/data/rollout.hpp>

namespace data = rlhf::data;
using test::rollout;
using test::Rollout;
using Buffer = data::RolloutBuffer<Rollout>;
using Numbers = std::vector<std::int64_t>;

namespace {

template <class B>
Numbers kept(B const& buffer) {
  Numbers out;
  for (auto const& one : buffer.episodes()) {
    out.push_back(one.episode);
  }
  return out;
}

}  // namespace

TEST_CASE("the newest episodes are kept, and all their samples are trained on, oldest first") {
  Buffer buffer({.keep = 2});
  CHECK_THROWS_AS(buffer.training_set(), rlhf::Error);
  buffer.add(0, rollout({{1}, {2}}, 0));
  CHECK(buffer.training_set() == rollout({{1}, {2}}, 0));
  buffer.add(1, rollout({{3}}, 2));
  CHECK(buffer.training_set() == rollout({{1}, {2}, {3}}, 0));
  buffer.add(5, rollout({{4}}, 3));
  CHECK(kept(buffer) == Numbers{1, 5});
  CHECK(buffer.training_set() == rollout({{3}, {4}}, 2));
  Buffer all({.keep = data::RolloutBufferOptions::all});
  for (int episode = 0; episode < 9; ++episode) {
    all.add(episode, rollout({{episode}}, episode));
  }
  CHECK(kept(all).size() == 9);
}

TEST_CASE("rollouts of an episode may arrive in several batches, of any size") {
  Buffer buffer;
  buffer.add(3, rollout({{1}, {2}, {3}}, 0));
  buffer.add(3, rollout({{4}}, 3));
  buffer.add(3, Rollout());
  CHECK(buffer.training_set() == rollout({{1}, {2}, {3}, {4}}, 0));
  buffer.add(4, rollout({{9}}, 9));
  CHECK(buffer.training_set() == rollout({{9}}, 9));
}

TEST_CASE("episodes before the first that is reused are not kept for later ones") {
  Buffer buffer({.keep = 3, .reuse_from = 2});
  for (int episode = 0; episode < 5; ++episode) {
    buffer.add(episode, rollout({{episode}}, episode));
    CHECK(kept(buffer) == (episode < 3    ? Numbers{episode}
                           : episode == 3 ? Numbers{2, 3}
                                          : Numbers{2, 3, 4}));
  }
}

TEST_CASE("a function of the user selects what is trained on") {
  struct Newest {
    std::int64_t rows = 1;
    Rollout operator()(std::span<data::EpisodeRollouts<Rollout> const> episodes) const {
      Rollout out;
      for (auto const& one : episodes) {
        data::append_rows(out, one.batch, data::row_count(one.batch) - rows,
                          data::row_count(one.batch));
      }
      return out;
    }
  };
  data::RolloutBuffer<Rollout, Newest> buffer({.keep = 2}, Newest{1});
  buffer.add(0, rollout({{1}, {2}}, 0));
  buffer.add(1, rollout({{3}, {4}}, 2));
  CHECK(buffer.training_set().text == std::vector<std::string>{"sample 1", "sample 3"});
}

TEST_CASE("what does not fit is refused, and nothing changes") {
  Buffer buffer({.keep = 2, .samples = 2});
  buffer.add(1, rollout({{1}}, 0));
  CHECK_THROWS_WITH_AS(buffer.training_set(),
                       doctest::Contains("episode 1 has 1 samples, 2 were declared"), rlhf::Error);
  CHECK_THROWS_WITH_AS(buffer.add(2, rollout({{1}}, 0)),
                       doctest::Contains("episode 1 has 1 samples, 2 were declared"), rlhf::Error);
  CHECK_THROWS_WITH_AS(buffer.add(1, rollout({{2}, {3}}, 1)),
                       doctest::Contains("episode 1 has 3 samples, 2 were declared"), rlhf::Error);
  CHECK_THROWS_WITH_AS(buffer.add(0, rollout({{2}}, 1)),
                       doctest::Contains("rollouts of episode 0 came after those of episode 1"),
                       rlhf::Error);
  Rollout wide = rollout({{2}}, 1);
  wide.hidden = data::Rows<float>(3);
  wide.hidden.push_back(std::vector<float>{1, 2, 3});
  CHECK_THROWS_AS(buffer.add(1, wide), rlhf::Error);
  Buffer with_empty({.keep = 3});
  with_empty.add(1, rollout({{1}}, 0));
  with_empty.add(2, Rollout());
  CHECK_THROWS_WITH_AS(with_empty.add(3, wide),
                       doctest::Contains("rows of 3 values a position cannot join rows of 2"),
                       rlhf::Error);
  Rollout uneven = rollout({{2}}, 1);
  uneven.text.clear();
  CHECK_THROWS_AS(buffer.add(1, uneven), rlhf::Error);
  buffer.add(1, rollout({{2}}, 1));
  CHECK(buffer.training_set() == rollout({{1}, {2}}, 0));
  CHECK_THROWS_AS(Buffer({.keep = 0}), rlhf::Error);
  CHECK_THROWS_AS(Buffer({.samples = -2}), rlhf::Error);
}

TEST_CASE("how far training went belongs to the training set") {
  Buffer buffer({.keep = 2});
  buffer.add(0, rollout({{1}}, 0));
  buffer.set_trained(3);
  CHECK(buffer.trained() == 3);
  buffer.add(1, rollout({{1}}, 0));
  CHECK(buffer.trained() == 0);
  CHECK_THROWS_AS(buffer.set_trained(-1), rlhf::Error);
  CHECK_THROWS_AS(buffer.restore({{2, {}}, {2, {}}}, 0), rlhf::Error);
  buffer.restore({{4, rollout({{4}}, 4)}, {6, rollout({{6}}, 6)}, {7, rollout({{7}}, 7)}}, 5);
  CHECK(kept(buffer) == Numbers{6, 7});
  CHECK(buffer.trained() == 5);
}
