#include <rlhf/checkpoint/columns.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <unit/data/rollout.hpp>

namespace checkpoint = rlhf::checkpoint;
namespace data = rlhf::data;

namespace {

struct Floats {
  data::Rows<float> tokens;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("tokens", tokens);
  }
};
struct Flat {
  std::vector<std::int32_t> tokens;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("tokens", tokens);
  }
};

}  // namespace

TEST_CASE("batches come back from archives as they were") {
  for (test::Rollout const& batch :
       {test::Rollout(), test::rollout({{1, 2}, {}, {3}}, 5), test::rollout({{}}, 0)}) {
    checkpoint::ArchiveWriter writer;
    checkpoint::save_columns(writer, batch, "a/");
    checkpoint::save_columns(writer, test::rollout({{9}}, 9), "b/");
    std::vector<std::byte> const bytes = writer.finish();
    checkpoint::ArchiveReader const reader(bytes);
    test::Rollout loaded = test::rollout({{7}}, 7);
    checkpoint::load_columns(reader, loaded, "a/");
    CHECK(loaded == batch);
    checkpoint::load_columns(reader, loaded, "b/");
    CHECK(loaded == test::rollout({{9}}, 9));
    CHECK_THROWS_WITH_AS(checkpoint::load_columns(reader, loaded, "c/"),
                         doctest::Contains("has no entry c/tokens"), rlhf::Error);
  }
}

TEST_CASE("columns of other types, or of different lengths, are refused") {
  checkpoint::ArchiveWriter writer;
  checkpoint::save_columns(writer, test::rollout({{1, 2}}, 0));
  std::vector<std::byte> const bytes = writer.finish();
  checkpoint::ArchiveReader const reader(bytes);
  Floats floats;
  CHECK_THROWS_WITH_AS(
      checkpoint::load_columns(reader, floats),
      doctest::Contains("the column tokens was saved as i32 (2, 1), it is to be read as f32"),
      rlhf::Error);
  Flat flat;
  CHECK_THROWS_AS(checkpoint::load_columns(reader, flat), rlhf::Error);
  test::Rollout uneven = test::rollout({{1}}, 0);
  uneven.reward.clear();
  checkpoint::ArchiveWriter other;
  CHECK_THROWS_AS(checkpoint::save_columns(other, uneven), rlhf::Error);
}
