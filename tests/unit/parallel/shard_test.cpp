#include <rlhf/parallel/shard.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Axis;
using rlhf::Box;
using rlhf::Coordinate;
using rlhf::Error;
using rlhf::HeldBox;
using rlhf::Holding;
using rlhf::Layout;
using rlhf::Shape;
using rlhf::Shard;
namespace shard = rlhf::shard;

namespace {

std::string refusal(Shard const& rule, Shape const& local, Layout const& layout,
                    Coordinate const& at = {}) {
  try {
    static_cast<void>(rule.holding(local, layout, at));
    return "nothing was thrown";
  } catch (Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return error.what();
  }
}

bool says(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("replicated: everyone holds everything") {
  Holding const held = shard::replicated().holding({3, 4}, {.tensor = 2}, {.tensor = 1});
  CHECK(held == Holding{{3, 4}, {HeldBox{Box::whole({3, 4}), {0, 0}}}});
}

TEST_CASE("rows and columns over the tensor axis") {
  Layout const layout{.tensor = 4};
  CHECK(shard::rows().holding({2, 5}, layout, {.tensor = 3}) ==
        Holding{{8, 5}, {HeldBox{{{6, 0}, {2, 5}}, {0, 0}}}});
  CHECK(shard::columns().holding({2, 5}, layout, {.tensor = 1}) ==
        Holding{{2, 20}, {HeldBox{{{0, 5}, {2, 5}}, {0, 0}}}});
}

TEST_CASE("fused matrices: a part of each") {
  // query|key|value of 4 rows each over 2 ranks: rank 1 holds rows 2-3, 6-7, 10-11.
  Holding const held = shard::rows(3).holding({6, 2}, {.tensor = 2}, {.tensor = 1});
  CHECK(held.global == Shape{12, 2});
  CHECK(held.boxes == std::vector<HeldBox>{{{{2, 0}, {2, 2}}, {0, 0}},
                                           {{{6, 0}, {2, 2}}, {2, 0}},
                                           {{{10, 0}, {2, 2}}, {4, 0}}});
}

TEST_CASE("experts are dealt out on their dimension") {
  Holding const held =
      shard::split(Axis::expert, 0)
          .then(Axis::tensor, 2)
          .holding({2, 3, 4}, {.tensor = 2, .expert = 4}, {.tensor = 1, .expert = 2});
  CHECK(held == Holding{{8, 3, 8}, {HeldBox{{{4, 0, 4}, {2, 3, 4}}, {0, 0, 0}}}});
}

TEST_CASE("FSDP cuts as torch.chunk: 10 rows over 4 ranks are 3 3 3 1, 5 over 4 are 2 2 1 0") {
  Layout const layout{.fsdp = 4};
  std::int64_t const rows_of_10[] = {3, 3, 3, 1};
  std::int64_t const rows_of_5[] = {2, 2, 1, 0};
  for (int rank = 0; rank < 4; ++rank) {
    Shard const rule = shard::split(Axis::sharded, 0);
    Holding const ten = rule.of({10, 2}).holding({rows_of_10[rank], 2}, layout, {.sharded = rank});
    CHECK(ten.global == Shape{10, 2});
    CHECK(ten.boxes == std::vector<HeldBox>{{{{3 * rank, 0}, {rows_of_10[rank], 2}}, {0, 0}}});
    Holding const five = rule.of({5, 2}).holding({rows_of_5[rank], 2}, layout, {.sharded = rank});
    CHECK(five.boxes.size() == (rank == 3 ? 0U : 1U));
  }
}

TEST_CASE("TP first, then FSDP on the same rows: the FSDP chunk lies inside the TP part") {
  Layout const layout{.tensor = 2, .fsdp = 2};
  Holding const held =
      shard::rows().then(Axis::sharded, 0).holding({3, 1}, layout, {.tensor = 1, .sharded = 1});
  CHECK(held == Holding{{12, 1}, {HeldBox{{{9, 0}, {3, 1}}, {0, 0}}}});
}

TEST_CASE("heads are never cut; fewer heads than ranks are copied to consecutive ranks") {
  Shard const rule = shard::heads(0, 4);
  CHECK(rule.holding({6, 2}, {.tensor = 2}, {.tensor = 1}) ==
        Holding{{12, 2}, {HeldBox{{{6, 0}, {6, 2}}, {0, 0}}}});
  for (int rank = 0; rank < 8; ++rank) {
    CHECK(rule.holding({3, 2}, {.tensor = 8}, {.tensor = rank}) ==
          Holding{{12, 2}, {HeldBox{{{rank / 2 * 3, 0}, {3, 2}}, {0, 0}}}});
  }
  // Then FSDP rows of the copied head.
  CHECK(rule.then(Axis::sharded, 0)
            .of({12, 2})
            .holding({1, 2}, {.tensor = 8, .fsdp = 2}, {.tensor = 3, .sharded = 1}) ==
        Holding{{12, 2}, {HeldBox{{{5, 0}, {1, 2}}, {0, 0}}}});
  std::string const neither = refusal(shard::heads(0, 4), {2, 2}, {.tensor = 6});
  CHECK(says(neither, "4 heads over 6 ranks"));
  CHECK(says(neither, "neither number divides the other"));
  CHECK(says(refusal(rule.of({10, 2}), {5, 2}, {.tensor = 2}), "10 elements"));
  CHECK_THROWS_AS(static_cast<void>(shard::heads(0, 0)), Error);
  CHECK_THROWS_AS(static_cast<void>(shard::heads(6, 1)), Error);
}

TEST_CASE("padded vocabularies: boxes end where the elements end") {
  Shard const rule = shard::padded(0, 10);
  Layout const layout{.tensor = 4};
  CHECK(rule.holding({4, 2}, layout, {.tensor = 1}) ==
        Holding{{10, 2}, {HeldBox{{{4, 0}, {4, 2}}, {0, 0}}}});
  CHECK(rule.holding({4, 2}, layout, {.tensor = 2}) ==
        Holding{{10, 2}, {HeldBox{{{8, 0}, {2, 2}}, {0, 0}}}});
  CHECK(rule.holding({4, 2}, layout, {.tensor = 3}) == Holding{{10, 2}, {}});
  Shard const known = shard::padded(0, 10, 16).then(Axis::sharded, 0).of({10, 2});
  CHECK(known.holding({2, 2}, {.tensor = 4, .fsdp = 2}, {.tensor = 2, .sharded = 0}) ==
        Holding{{10, 2}, {HeldBox{{{8, 0}, {2, 2}}, {0, 0}}}});
  CHECK(known.local_shape({.tensor = 4, .fsdp = 2}, {}) == Shape{2, 2});
  CHECK(says(refusal(rule, {2, 2}, layout), "4 ranks of the tensor axis with 2 each"));
  CHECK(says(refusal(shard::padded(0, 10, 14), {4, 2}, layout), "(14)"));
  CHECK(says(refusal(rule.of({12, 2}), {4, 2}, layout), "(12, 2)"));
  CHECK(says(refusal(rule.then(Axis::sharded, 0).of({10, 2}), {4, 2}, layout),
             "shard::padded(0, 10, padded)"));
  CHECK_THROWS_AS(static_cast<void>(shard::padded(0, 10, 9)), Error);
}

TEST_CASE("a scalar and an empty tensor can be described") {
  CHECK(shard::replicated().holding({}, {.tensor = 2}, {}).boxes.size() == 1);
  CHECK(shard::replicated().holding({0, 4}, {.tensor = 2}, {}).boxes.empty());
}

TEST_CASE("shapes that do not fit the cuts are refused with numbers and advice") {
  Layout const layout{.tensor = 4};
  std::string const uneven = refusal(shard::rows().of({10, 2}), {3, 2}, layout);
  CHECK(says(uneven, "dimension 0"));
  CHECK(says(uneven, "(10, 2)"));
  CHECK(says(uneven, "10 elements"));
  CHECK(says(uneven, "4 ranks of the tensor axis"));
  std::string const sections = refusal(shard::rows(3).of({16, 2}), {4, 2}, layout);
  CHECK(says(sections, "3 sections"));
  std::string const rank_too_low = refusal(shard::columns(), {8}, layout);
  CHECK(says(rank_too_low, "dimension 1"));
  CHECK(says(rank_too_low, "(8)"));
  std::string const local = refusal(shard::rows().of({8, 2}), {3, 2}, layout);
  CHECK(says(local, "(2, 2)"));
  CHECK(says(local, "(8, 2)"));
  CHECK(says(local, "(3, 2)"));
  CHECK(says(refusal(shard::rows().of({8, 2, 1}), {2, 2}, layout), "(2, 2)"));
}

TEST_CASE("cuts that cannot be are refused where they are written") {
  CHECK_THROWS_AS(static_cast<void>(shard::split(Axis::tensor, -1)), Error);
  CHECK_THROWS_AS(static_cast<void>(shard::split(Axis::tensor, 6)), Error);
  CHECK_THROWS_AS(static_cast<void>(shard::rows(0)), Error);
  CHECK_THROWS_AS(static_cast<void>(shard::rows(40'000)), Error);
  CHECK_THROWS_AS(static_cast<void>(shard::rows(65'537)), Error);
  Shard const four = shard::rows().then(Axis::expert, 0).then(Axis::sharded, 1).then(Axis::data, 0);
  CHECK_THROWS_AS(static_cast<void>(four.then(Axis::tensor, 0)), Error);
}

TEST_CASE("shards are constants, and the user's own rule is one") {
  constexpr Shard rule = shard::rows(2).then(Axis::sharded, 1).of({4, 4});
  static_assert(rule.count == 2);
  struct Mine {
    [[nodiscard]] Holding holding(Shape const& local, Layout const&, Coordinate const&) const {
      return {local, {}};
    }
  };
  CHECK(rlhf::ShardRule<Mine>);
  CHECK(rlhf::ShardRule<Shard>);
  CHECK_FALSE(rlhf::ShardRule<int>);
}
