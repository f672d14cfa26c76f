#include <rlhf/checkpoint/rollouts.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/batch.hpp>
#include <rlhf/data/micro_batch.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <unit/checkpoint/temporary_directory.hpp>
#include <unit/data/rollout.hpp>

namespace checkpoint = rlhf::checkpoint;
namespace data = rlhf::data;
using Buffer = data::RolloutBuffer<test::Rollout>;

namespace {

Buffer filled() {
  Buffer buffer({.keep = 3});
  for (int episode = 0; episode < 5; ++episode) {
    buffer.add(episode, test::rollout({{episode}, {episode, episode}, {}}, 3 * episode));
  }
  return buffer;
}

}  // namespace

TEST_CASE("a run that stops inside training goes on with the same samples") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 1);
  auto const micro_batches = [](Buffer const& buffer) {
    test::Rollout const all = buffer.training_set();
    return data::split_by_groups(all, data::micro_batches_by_count(data::row_count(all), 2));
  };
  Buffer buffer = filled();
  std::vector<test::Rollout> const whole = micro_batches(buffer);
  buffer.set_trained(2);
  store.begin(1);
  std::vector<std::byte> const bytes = checkpoint::save_rollouts(buffer);
  store.write(1, "rollouts-rank-0", bytes);
  store.commit(1);

  Buffer resumed({.keep = 3});
  checkpoint::load_rollouts(store.read(1, "rollouts-rank-0"), resumed, "rollouts-rank-0");
  CHECK(resumed.trained() == 2);
  CHECK(micro_batches(resumed) == whole);
  buffer.add(5, test::rollout({{5}}, 15));
  resumed.add(5, test::rollout({{5}}, 15));
  CHECK(resumed.training_set() == buffer.training_set());
  CHECK(resumed.trained() == 0);
}

TEST_CASE("a buffer that keeps fewer takes the newest; an empty one is saved as empty") {
  Buffer fewer({.keep = 1});
  checkpoint::load_rollouts(checkpoint::save_rollouts(filled()), fewer);
  CHECK(fewer.episodes().size() == 1);
  CHECK(fewer.episodes()[0].episode == 4);
  checkpoint::load_rollouts(checkpoint::save_rollouts(Buffer()), fewer);
  CHECK(fewer.episodes().empty());
}

TEST_CASE("damage is noticed, and nothing changes") {
  std::vector<std::byte> const whole = checkpoint::save_rollouts(filled());
  Buffer buffer;
  buffer.add(9, test::rollout({{9}}, 9));
  for (std::size_t i = 0; i < whole.size(); i += 7) {
    std::vector<std::byte> changed = whole;
    changed[i] ^= std::byte{4};
    CHECK_THROWS_AS(checkpoint::load_rollouts(changed, buffer), rlhf::Error);
    changed.resize(i);
    CHECK_THROWS_AS(checkpoint::load_rollouts(changed, buffer), rlhf::Error);
  }
  checkpoint::ArchiveWriter newer;
  newer.add("rollouts", checkpoint::as_bytes(data::TextRecordWriter("rlhf-rollouts", 2).finish()));
  CHECK_THROWS_WITH_AS(checkpoint::load_rollouts(newer.finish(), buffer),
                       doctest::Contains("version 2, this program reads versions up to 1"),
                       rlhf::Error);
  checkpoint::ArchiveWriter wrong;
  wrong.add("rollouts", checkpoint::as_bytes(data::TextRecordWriter("rlhf-rollouts", 1)
                                                 .field("trained", 0)
                                                 .field("episode", "3")
                                                 .finish()));
  CHECK_THROWS_WITH_AS(checkpoint::load_rollouts(wrong.finish(), buffer),
                       doctest::Contains("an episode and a number of samples"), rlhf::Error);
  CHECK(buffer.training_set() == test::rollout({{9}}, 9));
}
