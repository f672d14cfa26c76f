#include <rlhf/parallel/experts.hpp>
#include <rlhf/parallel/on_layout.hpp>

#include <string>
#include <vector>

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

template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
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

TEST_CASE("the plain deal: equal shares") {
  CHECK(shard::experts().holding({2, 3}, {.expert = 2}, {.expert = 1}) ==
        Holding{{4, 3}, {HeldBox{{{2, 0}, {2, 3}}, {0, 0}}}});
  CHECK(shard::experts({0, 1, 2, 3}).holding({2, 3}, {.expert = 2}, {.expert = 1}) ==
        shard::experts().holding({2, 3}, {.expert = 2}, {.expert = 1}));
}

TEST_CASE("a table puts experts anywhere; neighbours make one box where there are no replicas") {
  Holding const held = shard::experts({3, 0, 1, 2}).holding({4, 2}, {.expert = 1}, {});
  CHECK(held == Holding{{4, 2}, {{{{3, 0}, {1, 2}}, {0, 0}}, {{{0, 0}, {3, 2}}, {1, 0}}}});
}

TEST_CASE("redundant experts are boxes of their own, equal on all ranks that have them") {
  auto const rule = shard::experts({0, 1, 2, 1, 2, 0}).then(Axis::tensor, 1);
  Layout const layout{.tensor = 2, .expert = 2};
  CHECK(rule.holding({3, 2}, layout, {.tensor = 1, .expert = 0}) ==
        Holding{
            {3, 4},
            {{{{0, 2}, {1, 2}}, {0, 0}}, {{{1, 2}, {1, 2}}, {1, 0}}, {{{2, 2}, {1, 2}}, {2, 0}}}});
  CHECK(rule.holding({3, 2}, layout, {.tensor = 1, .expert = 1}).boxes.front() ==
        HeldBox{{{1, 2}, {1, 2}}, {0, 0}});
  CHECK(rule.of({3, 4}).local_shape(layout, {}) == Shape{3, 2});
}

TEST_CASE("tables that do not fit are refused with what is wrong") {
  CHECK(says(refusal([] { static_cast<void>(shard::experts({0, 2})); }), "expert 1 of 3"));
  CHECK(says(refusal([] { static_cast<void>(shard::experts({0, 1}, 3)); }), "expert 2 of 3"));
  CHECK(says(refusal([] { static_cast<void>(shard::experts({0, 3}, 2)); }), "slot 1"));
  CHECK(says(refusal([] { static_cast<void>(shard::experts({0, -1})); }), "expert -1"));
  CHECK(
      says(refusal([] { static_cast<void>(shard::experts(std::vector<int>{})); }), "at least one"));
  auto const twice = [] {
    static_cast<void>(shard::experts({0, 1, 0, 1}).holding({4, 2}, {}, {}));
  };
  CHECK(says(refusal(twice), "expert 0 lies in slots 0 and 2"));
  auto const odd = [] {
    static_cast<void>(shard::experts({0, 1, 2}).holding({1, 2}, {.expert = 2}, {}));
  };
  CHECK(says(refusal(odd), "3 expert slots"));
  auto const slots = [] {
    static_cast<void>(shard::experts({0, 1, 2, 3}).holding({3, 2}, {.expert = 2}, {}));
  };
  CHECK(says(refusal(slots), "(2, 2)"));
  auto const global = [] {
    static_cast<void>(shard::experts({0, 1}).of({3, 2}).holding({2, 2}, {}, {}));
  };
  CHECK(says(refusal(global), "(2, ...)"));
}

TEST_CASE("a rule on another layout of the same ranks") {
  // Rank 3 of 4: tensor 3 of the dense layers, expert rank 1 and tensor rank 1 of the experts.
  auto const rule = shard::on({.tensor = 2, .expert = 2, .data = Layout::any},
                              shard::experts().then(Axis::tensor, 1));
  CHECK(rule.holding({1, 3}, {.tensor = 4}, {.tensor = 3}) ==
        Holding{{2, 6}, {HeldBox{{{1, 3}, {1, 3}}, {0, 0}}}});
  auto const other = [&] { static_cast<void>(rule.holding({1, 3}, {.tensor = 6}, {})); };
  CHECK(says(refusal(other), "6"));
  CHECK(says(refusal(other), "other layout of the same ranks"));
}
