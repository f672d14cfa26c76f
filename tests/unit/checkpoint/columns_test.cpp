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

struct Pair {
  std::int16_t first;
  std::uint16_t second;
  bool operator==(Pair const&) const = default;
};
struct Plain {
  std::vector<std::uint64_t> seed;
  std::vector<Pair> pair;
  data::Rows<std::int16_t> small_tokens{2};
  template <class Visit>
  void columns(Visit&& visit) {
    visit("seed", seed);
    visit("pair", pair);
    visit("small_tokens", small_tokens);
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

TEST_CASE("plain values that tensors cannot hold come back, too") {
  Plain batch;
  batch.seed = {UINT64_MAX, 7};
  batch.pair = {{-1, 65535}, {3, 4}};
  batch.small_tokens.push_back(std::vector<std::int16_t>{1, 2, -3, 4});
  batch.small_tokens.push_back(std::vector<std::int16_t>{});
  checkpoint::ArchiveWriter writer;
  checkpoint::save_columns(writer, batch);
  checkpoint::save_columns(writer, Plain{}, "none/");
  std::vector<std::byte> const bytes = writer.finish();
  checkpoint::ArchiveReader const reader(bytes);
  Plain loaded;
  checkpoint::load_columns(reader, loaded);
  CHECK(loaded.seed == batch.seed);
  CHECK(loaded.pair == batch.pair);
  CHECK(loaded.small_tokens == batch.small_tokens);
  checkpoint::load_columns(reader, loaded, "none/");
  CHECK(loaded.seed.empty());
  CHECK(loaded.small_tokens.size() == 0);

  std::vector<std::uint64_t> wide;
  CHECK_THROWS_WITH_AS(checkpoint::detail::load_column(reader, "pair", wide),
                       doctest::Contains("values of 4 bytes, it is to be read as values of 8"),
                       rlhf::Error);
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
