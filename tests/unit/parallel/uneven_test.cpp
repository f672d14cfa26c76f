#include <rlhf/parallel/uneven.hpp>

#include <string>

#include <doctest/doctest.h>

using rlhf::Axis;
using rlhf::Coordinate;
using rlhf::Error;
using rlhf::HeldBox;
using rlhf::Holding;
using rlhf::Layout;
using rlhf::Shape;
namespace shard = rlhf::shard;

namespace {

template <class Rule>
std::string refusal(Rule const& rule, Shape const& local, Layout const& layout) {
  try {
    static_cast<void>(rule.holding(local, layout, {}));
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

TEST_CASE("each rank has the size named for it") {
  auto const rule = shard::uneven(Axis::tensor, 1, {3, 0, 4});
  Layout const layout{.tensor = 3};
  CHECK(rule.holding({2, 3}, layout, {.tensor = 0}) ==
        Holding{{2, 7}, {HeldBox{{{0, 0}, {2, 3}}, {0, 0}}}});
  CHECK(rule.holding({2, 0}, layout, {.tensor = 1}) == Holding{{2, 7}, {}});
  CHECK(rule.holding({2, 4}, layout, {.tensor = 2}) ==
        Holding{{2, 7}, {HeldBox{{{0, 3}, {2, 4}}, {0, 0}}}});
}

TEST_CASE("further cuts are of what it left") {
  auto const rule = shard::uneven(Axis::tensor, 0, {3, 5}).then(Axis::sharded, 0).of({8, 2});
  Layout const layout{.tensor = 2, .fsdp = 2};
  CHECK(rule.local_shape(layout, {.tensor = 1, .sharded = 1}) == Shape{2, 2});
  CHECK(rule.holding({2, 2}, layout, {.tensor = 1, .sharded = 1}) ==
        Holding{{8, 2}, {HeldBox{{{6, 0}, {2, 2}}, {0, 0}}}});
}

TEST_CASE("sizes that do not fit are refused") {
  auto const rule = shard::uneven(Axis::tensor, 0, {3, 5});
  CHECK(says(refusal(rule, {3, 2}, {.tensor = 3}), "2 sizes for 3 ranks of the tensor axis"));
  CHECK(says(refusal(rule.of({9, 2}), {3, 2}, {.tensor = 2}), "(9, 2)"));
  CHECK(says(refusal(rule, {5, 2}, {.tensor = 2}), "(3, 2)"));
  CHECK(
      says(refusal(shard::uneven(Axis::tensor, 2, {3, 5}), {3, 2}, {.tensor = 2}), "dimension 2"));
  CHECK_THROWS_AS(static_cast<void>(shard::uneven(Axis::tensor, 0, {3, -1})), Error);
  CHECK_THROWS_AS(static_cast<void>(shard::uneven(Axis::tensor, 6, {3})), Error);
}
