// Faults in plans that are spread out over all ranks are found by the tests' own proof
// (property/whole_plan.hpp), which the property tests rely on. The library's proof: plan_laws.cpp.
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/proof.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/whole_plan.hpp"

using cases::Case;
using cases::Side;
using rlhf::Layout;
namespace plan = rlhf::plan;
using whole::Whole;

namespace {

/// Sources 0-1 (tensor), destinations 1-4 (tensor 4): a local copy, sends, relays and forwards.
Case mixed_case() {
  Case pair;
  pair.source = Layout{.tensor = 2};
  pair.destination = Layout{.tensor = 4};
  pair.source_mesh = rlhf::Mesh::range(0, 2);
  pair.destination_mesh = rlhf::Mesh::range(1, 4);
  for (int p = 0; p < 3; ++p) {
    cases::Parameter next;
    next.name = "w" + std::to_string(p);
    next.global = {8, 3};
    next.source.cuts = {{rlhf::Axis::tensor, 0, 1}};
    if (p != 2) {
      next.destination.cuts = next.source.cuts;
    }
    pair.parameters.push_back(next);
  }
  return pair;
}

struct Fixture {
  plan::Description source = cases::describe(mixed_case(), Side::source);
  plan::Description destination = cases::describe(mixed_case(), Side::destination);

  [[nodiscard]] Whole built(plan::Route route) const {
    return whole::spread(
        plan::build(source, destination, {route, plan::SourceChoice::paired, 256, 2}));
  }
  [[nodiscard]] std::string fault(Whole const& made) const {
    return whole::element_fault(made, source, destination);
  }
};

bool says(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

constexpr plan::Route routes[] = {plan::Route::point_to_point, plan::Route::broadcast,
                                  plan::Route::two_stage};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "plans as they are built have no fault") {
  for (plan::Route const route : routes) {
    Whole const made = built(route);
    REQUIRE(!made.local_copies.empty());
    CHECK(fault(made) == "");
  }
}

TEST_CASE_FIXTURE(Fixture, "any piece left out or moved twice is found, with parameter and rank") {
  for (plan::Route const route : routes) {
    Whole const made = built(route);
    for (std::size_t b = 0; b < made.buckets.size(); ++b) {
      for (std::size_t i = 0; i < made.buckets[b].pieces.size(); ++i) {
        Whole without = made;
        auto& pieces = without.buckets[b].pieces;
        pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(i));
        CHECK(says(fault(without), "receives"));
        CHECK(says(fault(without), "w"));
        Whole twice = made;
        twice.buckets[b].pieces.push_back(made.buckets[b].pieces[i]);
        CHECK(says(fault(twice), "twice"));
      }
      Whole without = made;
      without.buckets.erase(without.buckets.begin() + static_cast<std::ptrdiff_t>(b));
      CHECK(fault(without) != "");
    }
    for (std::size_t c = 0; c < made.local_copies.size(); ++c) {
      Whole without = made;
      without.local_copies.erase(without.local_copies.begin() + static_cast<std::ptrdiff_t>(c));
      CHECK(says(fault(without), "receives"));
      Whole twice = made;
      twice.local_copies.push_back(made.local_copies[c]);
      CHECK(says(fault(twice), "twice"));
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "a source that does not hold the bytes is found") {
  for (plan::Route const route : routes) {
    Whole const made = built(route);
    for (std::size_t f = 0; f < made.flows.size(); ++f) {
      for (int const wrong : {1 - made.flows[f].source, 4, 99}) {
        Whole changed = made;
        changed.flows[f].source = wrong;
        CHECK(says(fault(changed), "source rank " + std::to_string(wrong) + " does not hold"));
      }
    }
    Whole changed = made;
    changed.local_copies[0].rank = 3;
    CHECK(says(fault(changed), "rank 3"));
  }
}

TEST_CASE_FIXTURE(Fixture, "another box or parameter is found") {
  for (plan::Route const route : routes) {
    Whole const made = built(route);
    for (std::size_t b = 0; b < made.buckets.size(); ++b) {
      Whole shifted = made;
      shifted.buckets[b].pieces[0].box.start[0] += 1;
      CHECK(fault(shifted) != "");
      Whole smaller = made;
      smaller.buckets[b].pieces[0].box.extent[1] -= 1;
      CHECK(fault(smaller) != "");
      Whole renamed = made;
      renamed.buckets[b].pieces[0].parameter = (renamed.buckets[b].pieces[0].parameter + 1) % 3;
      CHECK(fault(renamed) != "");
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "a destination that is left out, added or never reached is found") {
  for (plan::Route const route : routes) {
    Whole const made = built(route);
    for (std::size_t f = 0; f < made.flows.size(); ++f) {
      Whole fewer = made;
      fewer.flows[f].destinations.pop_back();
      CHECK(fault(fewer) != "");
      Whole more = made;
      more.flows[f].destinations.push_back(made.flows[f].destinations[0]);
      CHECK(fault(more) != "");
      // Listed as a destination, but nobody sends to it: its memory would keep old weights.
      Whole unreached = made;
      if (unreached.flows[f].forwards.empty()) {
        unreached.flows[f].receivers.pop_back();
      } else {
        unreached.flows[f].forwards.pop_back();
      }
      CHECK(says(fault(unreached), "reach"));
      Whole doubled = made;
      doubled.flows[f].receivers.push_back(made.flows[f].receivers[0]);
      CHECK(says(fault(doubled), "twice"));
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "a forward from a rank that receives nothing is found") {
  Whole made = built(plan::Route::two_stage);
  for (whole::WholeFlow& flow : made.flows) {
    if (!flow.forwards.empty()) {
      flow.forwards[0].from = flow.forwards[0].to;
      CHECK(says(fault(made), "forwards"));
      return;
    }
  }
  FAIL("no flow forwards");
}

TEST_CASE_FIXTURE(Fixture, "a bucket that claims other bytes than its pieces have is found") {
  for (std::int64_t const change : {-4, 4}) {
    Whole made = built(plan::Route::broadcast);
    made.buckets[0].bytes += change;
    CHECK(says(fault(made), "bytes"));
  }
}
