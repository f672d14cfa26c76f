#include <rlhf/parallel/flat.hpp>

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
namespace shard = rlhf::shard;

namespace {

template <class Rule>
std::string refusal(Rule const& rule, Shape const& local, Layout const& layout,
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

TEST_CASE("a flat shard is the rows that it has, whole and in part") {
  // (4, 5) over 3 ranks: elements 0-6, 7-13, 14-19.
  auto const rule = shard::flat({4, 5});
  Layout const layout{.zero = 3};
  CHECK(rule.holding({7}, layout, {.sharded = 0}) ==
        Holding{{4, 5}, {{{{0, 0}, {1, 5}}, {}, 0, {5, 1}}, {{{1, 0}, {1, 2}}, {}, 5, {5, 1}}}});
  CHECK(rule.holding({7}, layout, {.sharded = 1}) ==
        Holding{{4, 5}, {{{{1, 2}, {1, 3}}, {}, 0, {5, 1}}, {{{2, 0}, {1, 4}}, {}, 3, {5, 1}}}});
  // One shorter, in a tensor with room for padding.
  CHECK(rule.holding({7}, layout, {.sharded = 2}) ==
        Holding{{4, 5}, {{{{2, 4}, {1, 1}}, {}, 0, {5, 1}}, {{{3, 0}, {1, 5}}, {}, 1, {5, 1}}}});
}

TEST_CASE("a run of n dimensions is at most 2n - 1 boxes") {
  Shape const shape{3, 4, 5};
  std::size_t most = 0;
  for (int begin = 0; begin <= 60; ++begin) {
    for (int end = begin; end <= 60; ++end) {
      Holding const held = shard::flat_range(shard::replicated().of(shape), begin, end - begin)
                               .holding({60}, {}, {});
      std::int64_t elements = 0;
      for (HeldBox const& one : held.boxes) {
        CHECK(one.offset == elements);  // in order, without gaps
        elements += one.box.elements();
      }
      CHECK(elements == end - begin);
      most = held.boxes.size() > most ? held.boxes.size() : most;
    }
  }
  CHECK(most == 5);
}

TEST_CASE("flattened is what the tensor cut left") {
  // Columns 3-5 of (2, 6), flattened, over 2 ranks.
  auto const rule = shard::flat(shard::columns().of({2, 6}));
  Layout const layout{.tensor = 2, .fsdp = 2};
  CHECK(rule.holding({3}, layout, {.tensor = 1, .sharded = 1}) ==
        Holding{{2, 6}, {{{{1, 3}, {1, 3}}, {}, 0, {3, 1}}}});
}

TEST_CASE("parameters of a unit: the FSDP-1 example of a weight and a bias") {
  // (3, 2) and (2), 8 elements over 3 ranks: chunks of 3.
  Layout const layout{.fsdp = 3};
  auto const weight = shard::flat_in_unit(shard::replicated().of({3, 2}), 0, 8);
  auto const bias = shard::flat_in_unit(shard::replicated().of({2}), 6, 8);
  CHECK(weight.holding({3}, layout, {.sharded = 2}).boxes.empty());
  CHECK(bias.holding({3}, layout, {.sharded = 1}).boxes.empty());
  CHECK(bias.holding({3}, layout, {.sharded = 2}) == Holding{{2}, {{{{0}, {2}}, {}, 0, {1}}}});
  CHECK(weight.holding({3}, layout, {.sharded = 1}).boxes ==
        std::vector<HeldBox>{{{{1, 1}, {1, 1}}, {}, 0, {2, 1}}, {{{2, 0}, {1, 2}}, {}, 1, {2, 1}}});
}

TEST_CASE("scalars and empty tensors") {
  Layout const layout{.fsdp = 2};
  CHECK(shard::flat(Shape{}).holding({1}, layout, {.sharded = 0}) ==
        Holding{{}, {HeldBox{Box{}, {}, 0, {}}}});
  CHECK(shard::flat(Shape{}).holding({1}, layout, {.sharded = 1}).boxes.empty());
  CHECK(shard::flat({0, 3}).holding({0}, layout, {.sharded = 1}).boxes.empty());
}

TEST_CASE("what does not fit is refused with numbers") {
  Layout const layout{.fsdp = 2};
  std::string const shorter = refusal(shard::flat({4, 5}), {9}, layout);
  CHECK(says(shorter, "10 elements"));
  CHECK(says(shorter, "(9)"));
  CHECK(says(refusal(shard::flat({4, 5}), {2, 5}, layout), "one dimension"));
  CHECK(says(refusal(shard::flat(shard::rows()), {4}, layout), "rule.of(shape)"));
  CHECK(says(refusal(shard::flat(shard::padded(0, 10).of({10})), {4}, layout), "padded extent"));
  auto const whole = shard::replicated().of({4, 5});
  CHECK(says(refusal(shard::flat_in_unit(whole, 3, 22), {11}, layout), "unit of 22"));
  CHECK(says(refusal(shard::flat_range(whole, 15, 6), {20}, layout), "elements 15 to 21"));
  CHECK(says(refusal(shard::flat_range(whole, 15, 5, 16), {20}, layout), "from element 16"));
  CHECK(says(refusal(shard::flat_range(whole, -1, 5), {20}, layout), "elements -1 to 4"));
}
