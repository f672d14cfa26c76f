#include <rlhf/parallel/fused.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Coordinate;
using rlhf::Error;
using rlhf::HeldBox;
using rlhf::Holding;
using rlhf::Layout;
using rlhf::Shape;
using rlhf::TensorView;
namespace fused = rlhf::fused;
namespace shard = rlhf::shard;
using fused::QkvOrder;

namespace {

struct Visited {
  std::string name;
  std::ptrdiff_t offset = 0;  // elements from the memory's begin
  Shape shape{};
  Holding holding;
};

/// Keeps what a model lists on one rank.
struct Keep {
  float const* memory = nullptr;
  Layout layout{};
  Coordinate at{};
  std::vector<Visited> seen{};

  template <rlhf::ShardRule Rule>
  void operator()(std::string_view name, TensorView const& view, Rule const& rule) {
    seen.push_back({std::string(name), static_cast<float*>(view.data) - memory, view.shape,
                    rule.holding(view.shape, layout, at)});
  }
};

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

TEST_CASE("gate|up: two tensors cut over rows") {
  std::vector<float> memory(12);
  Keep keep{memory.data(), {.tensor = 2}, {.tensor = 1}};
  fused::rows(keep, rlhf::view(memory, {4, 3}), {{"gate", 2}, {"up", 2}});
  REQUIRE(keep.seen.size() == 2);
  CHECK(keep.seen[0].name == "gate");
  CHECK(keep.seen[0].offset == 0);
  CHECK(keep.seen[1].offset == 6);
  CHECK(keep.seen[1].holding == Holding{{4, 3}, {HeldBox{{{2, 0}, {2, 3}}, {0, 0}}}});
}

TEST_CASE("parts of other sizes, replicated, and a view with gaps between rows") {
  std::vector<float> memory(40);
  Keep keep{memory.data(), {.tensor = 2}, {.tensor = 1}};
  TensorView view = rlhf::view(memory, {4, 10});
  view.shape = {4, 7};
  fused::rows(keep, view, {{"a", 1}, {"b", 0}, {"c", 3}}, shard::replicated());
  REQUIRE(keep.seen.size() == 3);
  CHECK(keep.seen[1].shape == Shape{0, 7});
  CHECK(keep.seen[2].offset == 10);
  CHECK(keep.seen[2].holding.global == Shape{3, 7});
}

TEST_CASE("interleaved: the rows of each group") {
  std::vector<float> memory(6);
  Keep keep{memory.data(), {.tensor = 2}, {.tensor = 1}};
  fused::interleaved(keep, rlhf::view(memory, {6, 1}), {{"a", 1}, {"b", 2}}, 2);
  REQUIRE(keep.seen.size() == 2);
  CHECK(keep.seen[0].holding ==
        Holding{{4, 1}, {{{{2, 0}, {1, 1}}, {0, 0}}, {{{3, 0}, {1, 1}}, {3, 0}}}});
  CHECK(keep.seen[1].holding ==
        Holding{{8, 1}, {{{{4, 0}, {2, 1}}, {1, 0}}, {{{6, 0}, {2, 1}}, {4, 0}}}});
}

TEST_CASE("query|key|value with fewer key/value heads than ranks") {
  // 8 query and 2 key/value heads of 2 rows over 4 ranks; rank 3 has query heads 6 and 7 and
  // key/value head 1.
  std::vector<float> memory(8);
  for (QkvOrder const order : {QkvOrder::concatenated, QkvOrder::interleaved}) {
    Keep keep{memory.data(), {.tensor = 4}, {.tensor = 3}};
    fused::qkv(keep, rlhf::view(memory, {8}), {"q", "k", "v"}, {8, 2, 2}, 4, order);
    REQUIRE(keep.seen.size() == 3);
    CHECK(keep.seen[0].holding == Holding{{16}, {HeldBox{{{12}, {4}}, {0}}}});
    std::ptrdiff_t begin = 4;
    for (std::size_t const i : {std::size_t{1}, std::size_t{2}}) {
      REQUIRE(keep.seen[i].holding.boxes.size() == 1);
      CHECK(keep.seen[i].holding.global == Shape{4});
      HeldBox const& held = keep.seen[i].holding.boxes[0];
      CHECK(held.box == rlhf::Box{{2}, {2}});
      CHECK(keep.seen[i].offset + held.local_start[0] == begin);
      begin += 2;
    }
  }
}

TEST_CASE("experts one by one, and fused") {
  std::vector<float> memory(24);
  std::vector<int> const mine{4, 1};
  auto const name = [](int expert) { return "e" + std::to_string(expert) + "."; };
  Keep keep{memory.data(), {.tensor = 2}, {.tensor = 1}};
  fused::experts(keep, rlhf::view(memory, {2, 4, 3}), name, mine, shard::columns());
  fused::expert_rows(keep, rlhf::view(memory, {2, 4, 3}), name, mine, {{"gate", 2}, {"up", 2}});
  REQUIRE(keep.seen.size() == 6);
  CHECK(keep.seen[1].name == "e1.");
  CHECK(keep.seen[1].offset == 12);
  CHECK(keep.seen[1].holding == Holding{{4, 6}, {HeldBox{{{0, 3}, {4, 3}}, {0, 0}}}});
  CHECK(keep.seen[3].name == "e4.up");
  CHECK(keep.seen[3].offset == 6);
  CHECK(keep.seen[4].name == "e1.gate");
  CHECK(keep.seen[4].offset == 12);
  CHECK(keep.seen[4].holding == Holding{{4, 3}, {HeldBox{{{2, 0}, {2, 3}}, {0, 0}}}});
}

TEST_CASE("fused tensors that do not fit are refused with numbers") {
  std::vector<float> memory(24);
  Keep keep{memory.data(), {}, {}};
  TensorView const view = rlhf::view(memory, {6, 4});
  auto const rows = [&] { fused::rows(keep, view, {{"a", 2}, {"b", 3}}); };
  CHECK(says(refusal(rows), "5 rows"));
  auto const groups = [&] { fused::interleaved(keep, view, {{"a", 2}, {"b", 1}}, 3); };
  CHECK(says(refusal(groups), "3 groups of 3 rows"));
  auto const heads = [&] {
    fused::qkv(keep, view, {"q", "k", "v"}, {12, 3, 1}, 2, QkvOrder::concatenated);
  };
  CHECK(says(refusal(heads), "3 key/value heads do not fit 2"));
  auto const short_of = [&] {
    fused::qkv(keep, view, {"q", "k", "v"}, {4, 2, 1}, 1, QkvOrder::interleaved);
  };
  CHECK(says(refusal(short_of), "has 8 rows"));
  CHECK(says(refusal(short_of), "(6, 4)"));
  auto const uneven = [&] {
    fused::qkv(keep, view, {"q", "k", "v"}, {4, 2, 1}, 8, QkvOrder::interleaved);
  };
  CHECK(says(refusal(uneven), "4 query"));
  std::vector<int> const mine{0, 1};
  auto const slots = [&] {
    fused::experts(
        keep, view, [](int) { return "e"; }, mine, shard::rows());
  };
  CHECK(says(refusal(slots), "got 2"));
  CHECK(says(refusal([&] { static_cast<void>(fused::slice(view, 0, 4, 3)); }), "elements 4 to 7"));
  CHECK(says(refusal([&] { static_cast<void>(fused::slice(view, 2, 0, 1)); }), "dimension 2"));
  CHECK(keep.seen.empty());
}
