// Which checkpoints are kept.
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/data/text_record.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "replay/section.hpp"
#include "unit/checkpoint/temporary_directory.hpp"

namespace checkpoint = rlhf::checkpoint;
using replay::json;

namespace {

// ---- checkpoint_retention: equal where nothing is deleted. The reference counts the directories
// of replicas, deletes while others still save, and with a limit of 0 deletes everything. Here a
// limit counts steps, a step is there with all replicas or not at all, and 0 means no limit.

void check_retention(json const& entry, replay::Entry& result) {
  json const& limit = entry.at("max_ckpt_nums");
  json const& order = entry.at("save_order_per_step");
  std::size_t const keep = limit.is_null() ? 0 : limit.get<std::size_t>();
  replay::require(keep <= 1000, "max_ckpt_nums is no number from 0 to 1000");
  replay::require(!entry.at("states").empty(), "no states");
  replay::require(entry.at("resumed_consumed_samples_per_replica").size() == order.size(),
                  "consumed samples of other replicas than those that save");
  test::TemporaryDirectory const directory("/dev/shm");
  checkpoint::Store const store(directory.path(), static_cast<int>(keep));
  std::vector<std::int64_t> saved;
  for (json const& state : entry.at("states")) {
    std::int64_t const step = state.at("after_step").get<std::int64_t>();
    store.begin(step);
    for (json const& replica : order) {
      // What a replica has consumed by then, as it was recorded: eight samples a step.
      store.write(
          step, "replica" + std::to_string(replica.get<int>()),
          checkpoint::as_bytes(
              rlhf::data::TextRecordWriter("test", 1).field("consumed", 8 * step).finish()));
    }
    store.commit(step, static_cast<std::int64_t>(order.size()));
    saved.push_back(step);
    std::vector<std::int64_t> newest = saved;
    if (keep != 0 && newest.size() > keep) {
      newest.erase(newest.begin(), newest.end() - static_cast<std::ptrdiff_t>(keep));
    }
    std::set<std::string> expected;
    std::set<std::string> ours;
    for (std::size_t replica = 0; replica < order.size(); ++replica) {
      for (std::int64_t const kept : newest) {
        expected.insert("replica" + std::to_string(replica) + "_step" + std::to_string(kept));
      }
    }
    for (std::int64_t const kept : store.steps()) {
      for (checkpoint::ManifestEntry const& file : store.manifest(kept).files) {
        ours.insert(file.name + "_step" + std::to_string(kept));
      }
    }
    if (limit.is_null()) {
      result.equal("kept, as recorded", ours, state.at("dirs").get<std::set<std::string>>());
    }
    result.equal("kept", ours, expected);
    result.equal("newest", std::to_string(store.latest().value_or(-1)),
                 state.at("marker").get<std::string>());
  }
  json const& resumed = entry.at("resumed_consumed_samples_per_replica");
  for (std::size_t replica = 0; replica < order.size(); ++replica) {
    std::vector<std::byte> const bytes =
        store.read(saved.back(), "replica" + std::to_string(replica));
    rlhf::data::TextRecordReader reader(checkpoint::as_text(bytes), "test", 1, "replica");
    std::int64_t const consumed = reader.next_count("consumed");
    result.equal("consumed, every replica", consumed, 8 * saved.back());
    if (!resumed.at(replica).is_null()) {
      result.equal("consumed, as recorded", consumed, resumed.at(replica).get<std::int64_t>());
    }
  }
}
replay::Registration const retention("checkpoint_retention", check_retention);

}  // namespace
