#include <rlhf/core/error.hpp>
#include <rlhf/data/micro_batch.hpp>

#include <cstdint>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;
using data::Grouping;
using data::TokenCost;
using Numbers = std::vector<std::int64_t>;
using Lists = std::vector<Numbers>;

namespace {

Lists lists(data::Rows<std::int64_t> const& groups) {
  Lists out;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    out.emplace_back(groups[g].begin(), groups[g].end());
  }
  return out;
}

}  // namespace

TEST_CASE("micro-batches of a number of samples; the last one is cut or filled up") {
  CHECK(lists(data::micro_batches_by_count(5, 2)) == Lists{{0, 1}, {2, 3}, {4}});
  CHECK(lists(data::micro_batches_by_count(5, 2, data::LastBatch::filled)) ==
        Lists{{0, 1}, {2, 3}, {4, 0}});
  CHECK(lists(data::micro_batches_by_count(2, 5, data::LastBatch::filled)) ==
        Lists{{0, 1, 0, 1, 0}});
  CHECK(data::micro_batches_by_count(0, 3).size() == 0);
  CHECK_THROWS_AS(data::micro_batches_by_count(3, 0), rlhf::Error);
}

TEST_CASE("micro-batches of a number of tokens") {
  Numbers const lengths{4, 3, 5, 1, 2, 5};
  CHECK(lists(data::micro_batches_by_tokens(lengths, {.tokens = 6})) ==
        Lists{{2, 3}, {5}, {0, 4}, {1}});
  CHECK(lists(data::micro_batches_by_tokens(lengths,
                                            {.tokens = 8, .grouping = Grouping::in_order})) ==
        Lists{{0, 1}, {2, 3, 4}, {5}});
  CHECK(lists(data::micro_batches_by_tokens(lengths, {.tokens = 10, .cost = TokenCost::padded})) ==
        Lists{{2, 5}, {0, 1}, {3, 4}});
  CHECK(lists(data::micro_batches_by_tokens(
            lengths, {.tokens = 8, .cost = TokenCost::padded, .grouping = Grouping::in_order})) ==
        Lists{{0, 1}, {2}, {3, 4}, {5}});
  CHECK(data::micro_batches_by_tokens({}, {.tokens = 1}).size() == 0);
  Numbers const nothing{0, 0, 0};
  CHECK(lists(data::micro_batches_by_tokens(nothing, {.tokens = 1, .cost = TokenCost::padded})) ==
        Lists{{0, 1, 2}});
}

TEST_CASE("as many as another rank needs") {
  Numbers const lengths{4, 3, 2};
  CHECK(lists(data::micro_batches_by_tokens(lengths, {.tokens = 9, .at_least = 2})) ==
        Lists{{0}, {1, 2}});
  CHECK(lists(data::micro_batches_by_tokens(lengths, {.tokens = 9, .at_least = 5})) ==
        Lists{{0}, {1}, {2}, {}, {}});
  CHECK(data::micro_batches_by_tokens({}, {.tokens = 9, .at_least = 2}).size() == 2);
}

TEST_CASE("a sample that no micro-batch can hold is named") {
  Numbers const lengths{4, 9};
  CHECK_THROWS_WITH_AS(data::micro_batches_by_tokens(lengths, {.tokens = 8}),
                       doctest::Contains("sample 1 has 9 tokens, a micro-batch may have 0 to 8"),
                       rlhf::Error);
  Numbers const negative{-1};
  CHECK_THROWS_AS(data::micro_batches_by_tokens(negative, {.tokens = 8}), rlhf::Error);
  CHECK_THROWS_AS(data::micro_batches_by_tokens({}, {.tokens = 0}), rlhf::Error);
}

TEST_CASE("windows of micro-batches are sorted by the length of their first sample") {
  Numbers const lengths{4, 3, 2, 1, 0, 9, 7};
  data::Rows<std::int64_t> const single = data::micro_batches_by_count(7, 1);
  CHECK(lists(data::sort_windows(single, lengths, 3)) == Lists{{2}, {1}, {0}, {4}, {3}, {5}, {6}});
  CHECK(lists(data::sort_windows(single, lengths, 4)) ==
        Lists{{3}, {2}, {1}, {0}, {4}, {5}, {6}});  // the last window is not full
  CHECK_THROWS_AS(data::sort_windows(single, lengths, 0), rlhf::Error);
  CHECK_THROWS_AS(data::sort_windows(data::micro_batches_by_count(8, 1), lengths, 2), rlhf::Error);
}
