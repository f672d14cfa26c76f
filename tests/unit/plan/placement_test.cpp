// Models placed from parameter lists.
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/model.hpp>
#include <rlhf/plan/proof.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "property/whole_plan.hpp"

using rlhf::Box;
using rlhf::Layout;
namespace plan = rlhf::plan;

namespace {

plan::ModelParameter named(std::string name, rlhf::Shape shape) {
  plan::ModelParameter out;
  out.name = std::move(name);
  out.shape = shape;
  return out;
}

/// Four layers of one matrix, four experts of one, an embedding and a head that is tied to it.
plan::ModelList model() {
  plan::ModelList out;
  out.layers = 4;
  out.experts = 4;
  out.parameters.push_back(named("embed", {10, 6}));
  out.parameters.back().tensor_dimension = 0;
  for (int layer = 0; layer < 4; ++layer) {
    out.parameters.push_back(named("layers." + std::to_string(layer) + ".w", {6, 8}));
    out.parameters.back().layer = layer;
    out.parameters.back().tensor_dimension = 1;
    for (int expert = 0; expert < 4; ++expert) {
      out.parameters.push_back(
          named("layers." + std::to_string(layer) + ".experts." + std::to_string(expert), {4, 6}));
      out.parameters.back().layer = layer;
      out.parameters.back().expert = expert;
      out.parameters.back().tensor_dimension = 0;
    }
  }
  out.parameters.push_back(named("head", {10, 6}));
  out.parameters.back().behind_layers = true;
  out.parameters.back().tensor_dimension = 0;
  out.parameters.back().tied_to = "embed";
  return out;
}

plan::Side on(Layout const& layout, int first = 0) {
  plan::Side out;
  out.layout = layout;
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    out.world_ranks.push_back(first + rank);
  }
  return out;
}

/// World ranks that hold a box of a parameter, or nothing.
std::vector<int> holders(plan::Placement const& placement, std::string const& name,
                         Box const& box) {
  for (plan::PlacedParameter const& parameter : placement.parameters) {
    if (parameter.name != name) {
      continue;
    }
    for (plan::Part const& part :
         placement.patterns.at(static_cast<std::size_t>(parameter.pattern))) {
      if (part.box == box) {
        std::vector<int> out;
        for (int const rank : placement.rank_sets.at(static_cast<std::size_t>(part.ranks))) {
          out.push_back(placement.world_ranks.at(static_cast<std::size_t>(rank)));
        }
        return out;
      }
    }
  }
  return {};
}

std::string refusal(plan::ModelList const& list, plan::Side const& side) {
  try {
    static_cast<void>(plan::place(list, side));
  } catch (rlhf::Error const& error) {
    return error.what();
  }
  return "";
}

bool says(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("dense parameters: cut over tensor ranks, in their stage, on every copy") {
  plan::Placement const placed =
      plan::place(model(), on({.tensor = 2, .pipeline = 2, .data = 2}, 10));
  CHECK(holders(placed, "layers.1.w", {{0, 0}, {6, 4}}) == std::vector<int>{10, 12});
  CHECK(holders(placed, "layers.1.w", {{0, 4}, {6, 4}}) == std::vector<int>{11, 13});
  CHECK(holders(placed, "layers.2.w", {{0, 0}, {6, 4}}) == std::vector<int>{14, 16});
  CHECK(placed.parameters.size() == 1 + 4 * 5);  // the head is the embedding
}

TEST_CASE("a tied parameter lies in both stages under one name, and moves once") {
  plan::Placement const two = plan::place(model(), on({.pipeline = 2}));
  CHECK(holders(two, "embed", Box::whole({10, 6})) == std::vector<int>{0, 1});
  plan::Placement const one = plan::place(model(), on({}, 2));
  plan::Plan const made = plan::build(two, one, plan::Options{});
  CHECK(plan::find_fault(made, two, one) == "");
  CHECK(made.bytes_moved == 2 * (60 + 4 * (48 + 4 * 24)));
  plan::ModelList wrong = model();
  wrong.parameters.back().shape = {10, 5};
  CHECK(says(refusal(wrong, on({})), "head is tied to embed"));
}

TEST_CASE("ties from several stages, and chains of ties: every stage holds the parameter") {
  for (bool const chain : {false, true}) {
    CAPTURE(chain);
    plan::ModelList list;
    list.layers = 4;
    list.parameters.push_back(named("emb", {4, 8}));
    for (int const layer : {1, 2}) {
      list.parameters.push_back(named(rlhf::text("again", layer), {4, 8}));
      list.parameters.back().layer = layer;
      list.parameters.back().tied_to = chain && layer == 2 ? "again1" : "emb";
    }
    list.parameters.push_back(named("head", {4, 8}));
    list.parameters.back().behind_layers = true;
    list.parameters.back().tied_to = chain ? "again2" : "emb";
    plan::Placement const placed = plan::place(list, on({.pipeline = 4}));
    CHECK(placed.parameters.size() == 1);
    CHECK(holders(placed, "emb", Box::whole({4, 8})) == std::vector<int>{0, 1, 2, 3});
    // Backwards in the list, too: what it is tied to may come later.
    std::swap(list.parameters.front(), list.parameters.back());
    CHECK(holders(plan::place(list, on({.pipeline = 4})), "emb", Box::whole({4, 8})) ==
          std::vector<int>{0, 1, 2, 3});
  }
}

TEST_CASE("ties that lead nowhere are refused with both names") {
  auto const with = [](std::string const& embed, std::string const& head) {
    plan::ModelList list = model();
    list.parameters.front().tied_to = embed;
    list.parameters.back().tied_to = head;
    return refusal(list, on({}));
  };
  CHECK(says(with("", "nothing"), "head is tied to nothing, which the model does not list"));
  CHECK(says(with("", "head"), "head is tied to head and that, in a circle, to it"));
  CHECK(says(with("head", "embed"), "in a circle"));
  CHECK(with("", "embed").empty());
}

TEST_CASE("tied in the source, apart in the destination: one memory, taken under both names") {
  plan::ModelList given = model();
  plan::ModelList wanted = model();
  wanted.parameters.back().tied_to.clear();
  plan::list_tied(given, wanted);
  for (Layout const& layout : {Layout{.pipeline = 2}, Layout{.tensor = 2, .pipeline = 4}}) {
    plan::Placement const source = plan::place(given, on(layout));
    plan::Placement const destination = plan::place(wanted, on({.pipeline = 2}, 20));
    CHECK(source.parameters.size() == destination.parameters.size());
    plan::Plan const made = plan::build(source, destination, plan::Options{});
    CHECK(plan::find_fault(made, source, destination) == "");
    CHECK(made.bytes_moved == 2 * (2 * 60 + 4 * (48 + 4 * 24)));
  }
  // The other way round nothing is special: the destination has one of the two.
  plan::Placement const apart = plan::place(wanted, on({}));
  plan::Plan const made = plan::build(apart, plan::place(model(), on({}, 1)), plan::Options{});
  CHECK(made.unused == std::vector<std::string>{"head"});
}

TEST_CASE("a subset of a model keeps the ties among what is left") {
  plan::ModelList list = model();
  list.parameters.push_back(named("tail", {10, 6}));
  list.parameters.back().tied_to = "head";
  plan::keep(list, [](std::string_view name) { return name == "head" || name == "tail"; });
  REQUIRE(list.parameters.size() == 2);
  CHECK(list.parameters[0].tied_to.empty());
  CHECK(list.parameters[1].tied_to == "head");
  CHECK(plan::place(list, on({.pipeline = 2})).parameters.size() == 1);
}

TEST_CASE("a table of experts: any order, several slots for one; wrong ones are refused") {
  plan::Side side = on({.expert = 2});
  side.expert_slots = {3, 0, 1, 1, 2, 3};
  plan::Placement const placed = plan::place(model(), side);
  auto const of = [&](int expert) {
    return holders(placed, "layers.0.experts." + std::to_string(expert), Box::whole({4, 6}));
  };
  CHECK(of(0) == std::vector<int>{0});
  CHECK(of(1) == std::vector<int>{0, 1});
  CHECK(of(2) == std::vector<int>{1});
  CHECK(of(3) == std::vector<int>{0, 1});
  auto const with = [&](std::vector<int> slots) {
    side.expert_slots = std::move(slots);
    return refusal(model(), side);
  };
  CHECK(says(with({0, 1, 2, 3, 0}), "5 slots cannot be dealt to 2 expert ranks"));
  CHECK(says(with({0, 1, 2, 4}), "slot 3 holds expert 4; the model has 4"));
  CHECK(says(with({0, 1, 2, 0}), "no slot for expert 3"));
  CHECK(says(with({0, 1, 3, 2, 3, 2}),
             "expert 2 lies in slots 0 and 2 of expert rank 1; a rank may hold an expert once"));
}

TEST_CASE("padding: the cut counts it, no rank sends it") {
  plan::ModelList list = model();
  list.parameters.front().padded = 12;
  plan::Placement const placed = plan::place(list, on({.tensor = 4}));
  CHECK(holders(placed, "embed", {{0, 0}, {3, 6}}) == std::vector<int>{0});
  CHECK(holders(placed, "embed", {{9, 0}, {1, 6}}) == std::vector<int>{3});
  list.parameters.front().padded = 40;
  CHECK(holders(plan::place(list, on({.tensor = 4})), "embed", Box::whole({10, 6})) ==
        std::vector<int>{0});
  plan::Placement const plain = plan::place(model(), on({.tensor = 2}, 4));
  plan::Plan const made = plan::build(placed, plain, plan::Options{});
  CHECK(plan::find_fault(made, placed, plain) == "");
  list.parameters.front().padded = 9;
  CHECK(says(refusal(list, on({.tensor = 4})), "padded to 9, less than its extent 10"));
}

TEST_CASE("experts: dealt to expert ranks in runs, cut by their own tensor size") {
  plan::Placement const dealt = plan::place(model(), on({.tensor = 2, .expert = 2}));
  CHECK(holders(dealt, "layers.0.experts.1", {{0, 0}, {2, 6}}) == std::vector<int>{0});
  CHECK(holders(dealt, "layers.0.experts.2", {{2, 0}, {2, 6}}) == std::vector<int>{3});
  plan::Side side = on({.tensor = 4});
  side.expert_tensor = 1;  // four expert ranks on the tensor ranks
  plan::Placement const whole = plan::place(model(), side);
  CHECK(holders(whole, "layers.0.experts.3", Box::whole({4, 6})) == std::vector<int>{3});
  CHECK(holders(whole, "layers.0.w", {{0, 6}, {6, 2}}) == std::vector<int>{3});
  side.expert_tensor = 3;
  CHECK(says(refusal(model(), side), "expert tensor size 3"));
  CHECK(says(refusal(model(), on({.expert = 3})), "4 experts cannot be dealt to 3"));
}

TEST_CASE("stage maps, uneven and interleaved; wrong ones are refused") {
  plan::Side side = on({.pipeline = 2});
  side.stage_of_layer = {0, 1, 0, 1};
  plan::Placement const placed = plan::place(model(), side);
  CHECK(holders(placed, "layers.2.w", Box::whole({6, 8})) == std::vector<int>{0});
  CHECK(holders(placed, "layers.3.w", Box::whole({6, 8})) == std::vector<int>{1});
  side.stage_of_layer = {0, 1, 0};
  CHECK(says(refusal(model(), side), "3 layers, the model 4"));
  side.stage_of_layer = {0, 1, 2, 1};
  CHECK(says(refusal(model(), side), "stage 2 of 2"));
}

TEST_CASE("heads: never cut, repeated where there are fewer than tensor ranks") {
  plan::ModelList list;
  list.layers = 0;
  list.parameters.push_back(named("k", {8, 3}));
  list.parameters.back().tensor_dimension = 0;
  list.parameters.back().heads = 2;
  plan::Placement const placed = plan::place(list, on({.tensor = 4}));
  CHECK(holders(placed, "k", {{0, 0}, {4, 3}}) == std::vector<int>{0, 1});
  CHECK(holders(placed, "k", {{4, 0}, {4, 3}}) == std::vector<int>{2, 3});
  CHECK(says(refusal(list, on({.tensor = 3})), "2 heads cannot be cut for 3"));
}

TEST_CASE("sharded rows: chunks of what the tensor cut left, empty ones on nobody") {
  plan::ModelList list;
  list.parameters.push_back(named("w", {5, 2}));
  plan::Placement const placed = plan::place(list, on({.fsdp = 4}));
  CHECK(holders(placed, "w", {{0, 0}, {2, 2}}) == std::vector<int>{0});
  CHECK(holders(placed, "w", {{4, 0}, {1, 2}}) == std::vector<int>{2});
  CHECK(placed.patterns.at(0).size() == 3);
}

TEST_CASE("every pair of a few layouts: exact cover of the least bytes") {
  std::vector<plan::Side> sides;
  for (Layout const& layout :
       {Layout{}, Layout{.tensor = 2}, Layout{.tensor = 4, .data = 2}, Layout{.pipeline = 4},
        Layout{.tensor = 2, .pipeline = 2, .expert = 2}, Layout{.fsdp = 3},
        Layout{.expert = 4, .fsdp = 2}, Layout{.tensor = 2, .data = 3}}) {
    for (int const first : {0, 5, 20}) {
      sides.push_back(on(layout, first));
    }
  }
  int pairs = 0;
  for (plan::Side const& from : sides) {
    for (plan::Side const& to : sides) {
      plan::Placement const source = plan::place(model(), from);
      plan::Placement const destination = plan::place(model(), to);
      plan::Plan const made =
          plan::build(source, destination, plan::Options{plan::Route::automatic},
                      plan::Topology::of_hosts(64, 4));
      CHECK(plan::find_fault(made, source, destination) == "");
      CHECK(made.bytes_local + made.bytes_moved == made.bytes_needed);
      ++pairs;
    }
  }
  CHECK(pairs == 24 * 24);
}
