#include <rlhf/parallel/check.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/layout.hpp>

#include <set>
#include <string>

#include <doctest/doctest.h>

using rlhf::Axis;
using rlhf::Coordinate;
using rlhf::Errc;
using rlhf::Error;
using rlhf::Layout;
using rlhf::LayoutFault;

namespace {

/// The sentence with which a layout is refused on a number of ranks.
std::string refusal(Layout const& layout, int ranks) {
  try {
    static_cast<void>(layout.on_ranks(ranks));
    return "nothing was thrown";
  } catch (Error const& error) {
    CHECK(error.code() == Errc::incompatible_policy);
    return error.what();
  }
}

bool says(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("Megatron's order: tensor fastest, pipeline slowest") {
  // Eight trainer ranks with TP 2, PP 2, DP 2: the groups that Megatron-LM's documentation lists.
  constexpr Layout layout{.tensor = 2, .pipeline = 2, .data = 2};
  CHECK(layout.coordinate(0) == Coordinate{});
  CHECK(layout.coordinate(1) == Coordinate{.tensor = 1});
  CHECK(layout.coordinate(2) == Coordinate{.data = 1});
  CHECK(layout.coordinate(4) == Coordinate{.pipeline = 1});
  CHECK(layout.coordinate(7) == Coordinate{.tensor = 1, .data = 1, .pipeline = 1});
  constexpr Layout mixed{.tensor = 2, .pipeline = 2, .expert = 3, .data = 2, .fsdp = 5};
  CHECK(mixed.rank({.expert = 1}) == 2);
  CHECK(mixed.rank({.sharded = 1}) == 6);
  CHECK(mixed.rank({.data = 1}) == 30);
  CHECK(mixed.rank({.pipeline = 1}) == 60);
  CHECK(mixed.ranks() == 120);
  static_assert(layout.rank(layout.coordinate(5)) == 5);
}

TEST_CASE("sizes along the axes") {
  constexpr Layout layout{.tensor = 2, .pipeline = 3, .expert = 4, .data = 5, .fsdp = 6};
  CHECK(layout.size(Axis::tensor) == 2);
  CHECK(layout.size(Axis::pipeline) == 3);
  CHECK(layout.size(Axis::expert) == 4);
  CHECK(layout.size(Axis::data) == 5);
  CHECK(layout.size(Axis::sharded) == 6);
  CHECK(Layout{.zero = 7}.size(Axis::sharded) == 7);
  CHECK(layout.ranks_per_replica() == 2 * 3 * 4 * 6);
  constexpr Coordinate at{1, 2, 3, 4, 5};
  CHECK(at.on(Axis::tensor) == 1);
  CHECK(at.on(Axis::expert) == 2);
  CHECK(at.on(Axis::sharded) == 3);
  CHECK(at.on(Axis::data) == 4);
  CHECK(at.on(Axis::pipeline) == 5);
}

TEST_CASE("axes have names") {
  std::set<std::string> names;
  for (Axis const axis : {Axis::tensor, Axis::expert, Axis::sharded, Axis::data, Axis::pipeline}) {
    names.emplace(rlhf::to_string(axis));
  }
  CHECK(names == std::set<std::string>{"tensor", "expert", "sharded", "data", "pipeline"});
}

TEST_CASE("layouts print what is not 1") {
  CHECK(rlhf::to_string(Layout{}) == "one rank");
  CHECK(rlhf::to_string(Layout{.tensor = 2, .pipeline = 2, .data = 4}) ==
        "tensor=2 pipeline=2 data=4");
  CHECK(rlhf::to_string(Layout{.data = Layout::any, .fsdp = 3}) == "fsdp=3 data=any");
}

TEST_CASE("on_ranks fills the data axis in") {
  Layout const any{.tensor = 2, .pipeline = 2, .data = Layout::any};
  CHECK(any.on_ranks(4).data == 1);
  CHECK(any.on_ranks(12).data == 3);
  CHECK(any.on_ranks(12).ranks() == 12);
  CHECK(Layout{.tensor = 2, .data = 3}.on_ranks(6) == Layout{.tensor = 2, .data = 3});
}

TEST_CASE("a size below one is refused on every axis but data=any") {
  CHECK(Layout{.tensor = 0}.fault() == LayoutFault::size_below_one);
  CHECK(Layout{.pipeline = 0}.fault() == LayoutFault::size_below_one);
  CHECK(Layout{.expert = -1}.fault() == LayoutFault::size_below_one);
  CHECK(Layout{.data = -1}.fault() == LayoutFault::size_below_one);
  CHECK(Layout{.fsdp = 0}.fault() == LayoutFault::size_below_one);
  CHECK(Layout{.zero = 0}.fault() == LayoutFault::size_below_one);
  CHECK(Layout{.data = Layout::any}.fault() == LayoutFault::none);
  CHECK(says(refusal(Layout{.tensor = 0}, 4), "tensor=0"));
  CHECK(says(refusal(Layout{.tensor = 0}, 4), "at least 1"));
}

TEST_CASE("zero combines with data only, fsdp with everything but zero") {
  CHECK(Layout{.data = 2, .zero = 4}.fault() == LayoutFault::none);
  CHECK(Layout{.tensor = 2, .zero = 4}.fault() == LayoutFault::zero_with_model_parallel);
  CHECK(Layout{.pipeline = 2, .zero = 4}.fault() == LayoutFault::zero_with_model_parallel);
  CHECK(Layout{.expert = 2, .zero = 4}.fault() == LayoutFault::zero_with_model_parallel);
  CHECK(Layout{.fsdp = 2, .zero = 4}.fault() == LayoutFault::zero_with_fsdp);
  CHECK(Layout{.tensor = 2, .pipeline = 2, .expert = 2, .data = 2, .fsdp = 2}.fault() ==
        LayoutFault::none);
  CHECK(says(refusal(Layout{.tensor = 2, .zero = 4}, 8), "use fsdp=4"));
  CHECK(says(refusal(Layout{.fsdp = 2, .zero = 4}, 8), "set one of them to 1"));
}

TEST_CASE("a number of ranks that does not fit is refused with what would fit") {
  Layout const replica{.tensor = 4, .pipeline = 2, .data = Layout::any};
  CHECK(replica.fault_on(4) == LayoutFault::fewer_ranks_than_replica);
  CHECK(replica.fault_on(12) == LayoutFault::ranks_not_divisible);
  CHECK(replica.fault_on(16) == LayoutFault::none);
  CHECK(replica.fault_on(0) == LayoutFault::fewer_ranks_than_replica);
  CHECK(says(refusal(replica, 4),
             "tensor=4 pipeline=2 data=any needs 8 ranks for one replica, got 4"));
  CHECK(says(refusal(replica, 12), "needs a multiple of 8 ranks (one replica), got 12"));
  Layout const fixed{.tensor = 2, .data = 2};
  CHECK(fixed.fault_on(6) == LayoutFault::ranks_differ);
  CHECK(says(refusal(fixed, 6), "is for 4 ranks, got 6; set data=3 or data=any"));
}

TEST_CASE("sizes whose product no int holds are refused like others that need more ranks") {
  for (int const size : {46'341, 65'536, 2'000'000'000}) {
    Layout const huge{.tensor = size, .pipeline = size, .data = Layout::any};
    CHECK(huge.fault_on(8) == LayoutFault::fewer_ranks_than_replica);
    CHECK(says(refusal(huge, 8), "got 8"));
    CHECK(Layout{.tensor = size, .data = size}.fault_on(size) == LayoutFault::ranks_differ);
    CHECK(Layout{.tensor = size, .pipeline = size, .expert = size, .zero = size}.fault() ==
          LayoutFault::zero_with_model_parallel);
    CHECK(says(refusal(Layout{.data = size, .fsdp = size}, size), "is for 2147483647 ranks"));
  }
}

TEST_CASE("every fault has a sentence that names the layout") {
  std::set<std::string> sentences;
  for (LayoutFault const fault :
       {LayoutFault::none, LayoutFault::size_below_one, LayoutFault::zero_with_model_parallel,
        LayoutFault::zero_with_fsdp, LayoutFault::fewer_ranks_than_replica,
        LayoutFault::ranks_not_divisible, LayoutFault::ranks_differ}) {
    std::string const sentence = rlhf::describe(fault, Layout{.tensor = 2}, 3);
    CHECK(says(sentence, "layout tensor=2"));
    sentences.insert(sentence);
  }
  CHECK(sentences.size() == 7);
}

TEST_CASE("stock policies pass their check, wrong ones do not") {
  CHECK(rlhf::parallel::is_valid_policy<rlhf::Grid<>>);
  CHECK(rlhf::parallel::is_valid_policy<rlhf::Grid<Layout{.tensor = 2, .data = Layout::any}>>);
  CHECK(rlhf::parallel::is_valid_policy<rlhf::Grid<Layout{.tensor = 2, .data = 2}, 4>>);
  CHECK(rlhf::parallel::is_valid_policy<rlhf::RuntimeGrid>);
  CHECK_FALSE(rlhf::parallel::is_valid_policy<rlhf::Grid<Layout{.tensor = 2, .data = 2}, 6>>);
  CHECK_FALSE(rlhf::parallel::is_valid_policy<rlhf::Grid<Layout{.tensor = 0}>>);
  CHECK_FALSE(rlhf::parallel::is_valid_policy<rlhf::Grid<Layout{.tensor = 2, .zero = 2}>>);
  CHECK_FALSE(rlhf::parallel::is_valid_policy<int>);
}
