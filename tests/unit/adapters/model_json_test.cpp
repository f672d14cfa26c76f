#include <rlhf/adapters/model_json.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/model.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <property/cases.hpp>

namespace plan = rlhf::plan;

namespace {

char const* const model = R"({"model": "tiny", "layers": 2, "experts": 4, "hidden": 8, "entries": [
  {"name": "embed", "shape": [16, 8], "dtype": "bf16", "split": {"tensor": 0}},
  {"name": "l.{l}.q", "shape": [8, 8], "dtype": "f32", "split": {"tensor": 0}, "heads": 4,
   "ranges": {"l": [0, 2]}},
  {"name": "l.{l}.e.{e}.up", "shape": [4, 8], "dtype": "bf16", "split": {"tensor": 1},
   "expert": "e", "ranges": {"l": [1, 2], "e": [0, 4]}},
  {"name": "head", "shape": [16, 8], "dtype": "bf16", "tied_to": "embed"}]})";

std::string refusal(std::string const& content) {
  try {
    static_cast<void>(plan::read_model(content, "m.json"));
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return std::string(error.message());
  }
  return "";
}
std::string entry(std::string const& members) {
  return refusal(
      "{\"layers\": 2, \"experts\": 4, \"entries\": [{\"name\": \"x\", \"dtype\": "
      "\"f32\", " +
      members + "}]}");
}

}  // namespace

#define CHECK_HAS(message, words) CHECK_MESSAGE((message).find(words) != std::string::npos, message)

TEST_CASE("entries become parameters, in order") {
  plan::ModelList const read = plan::read_model(model, "m.json");
  CHECK(read.name == "tiny");
  CHECK(read.layers == 2);
  CHECK(read.experts == 4);
  REQUIRE(read.parameters.size() == 8);
  CHECK(read.parameters[0].name == "embed");
  CHECK(read.parameters[0].tensor_dimension == 0);
  CHECK(read.parameters[0].layer == -1);
  CHECK_FALSE(read.parameters[0].behind_layers);
  CHECK(read.parameters[2].name == "l.1.q");
  CHECK(read.parameters[2].dtype == rlhf::DType::f32);
  CHECK(read.parameters[2].heads == 4);
  CHECK(read.parameters[2].layer == 1);
  CHECK(read.parameters[5].name == "l.1.e.2.up");
  CHECK(read.parameters[5].expert == 2);
  CHECK(read.parameters[5].shape == rlhf::Shape{4, 8});
  CHECK(read.parameters[7].behind_layers);
  CHECK(read.parameters[7].tied_to == "embed");
  CHECK(read.parameters[7].tensor_dimension == -1);
}

TEST_CASE("a broken list is named with file, entry and reason") {
  CHECK_HAS(refusal("{\"layers\": 2,\n  ]"), "model file m.json is not JSON (line 2, column 3)");
  CHECK_HAS(refusal("{\"layers\": 2"), "model file m.json is not JSON: it ends in the middle");
  CHECK_HAS(refusal("[]"), "model file m.json is not a JSON object");
  CHECK_HAS(refusal("{\"entries\": []}"), "needs a whole number \"layers\" from 0 to 1048576");
  CHECK_HAS(refusal("{\"layers\": 2}"), "has no list \"entries\"");
  CHECK_HAS(refusal("{\"layers\": 2, \"entries\": [3]}"), "entry 0: is not a JSON object");
  CHECK_HAS(refusal("{\"layers\": 2, \"entries\": [{\"dtype\": \"f32\"}]}"),
            "entry 0: needs a text \"name\"");
  CHECK_HAS(refusal("{\"layers\": 2, \"entries\": [{\"name\": \"x\", \"dtype\": \"f8\"}]}"),
            "entry 0 (x): has an unknown dtype f8; use f32, bf16");
  CHECK_HAS(entry("\"shape\": 3"), "needs a list \"shape\" of at most 6 extents");
  CHECK_HAS(entry("\"shape\": [1, 1, 1, 1, 1, 1, 1]"), "needs a list \"shape\"");
  CHECK_HAS(entry("\"shape\": [-1]"), "has an impossible extent");
  CHECK_HAS(entry("\"shape\": [1.5]"), "has an impossible extent");
  CHECK_HAS(entry("\"shape\": [1099511627776, 1099511627776]"), "has an impossible extent");
  CHECK_HAS(entry("\"shape\": [0, 9223372036854775807]"), "has an impossible extent");
  CHECK_HAS(entry("\"shape\": [18446744073709551615]"), "has an impossible extent");
  CHECK_HAS(entry("\"shape\": [4], \"split\": {\"tensor\": 1}"),
            "needs a whole number \"tensor\" from 0 to 0");
  CHECK_HAS(entry("\"shape\": [4], \"split\": 0"), "\"split\" must be an object");
  CHECK_HAS(entry("\"shape\": [4], \"ranges\": {\"l\": [0, 3]}"), "beyond the model's \"layers\"");
  CHECK_HAS(entry("\"shape\": [4], \"ranges\": {\"l\": [1, 0]}"), "must ascend");
  CHECK_HAS(entry("\"shape\": [4], \"ranges\": {\"l\": [0]}"), "must be [first, one behind");
  CHECK_HAS(entry("\"shape\": [4], \"expert\": \"e\""), "gives no range of e");
  CHECK_HAS(entry("\"shape\": [4], \"expert\": \"e\", \"ranges\": {\"e\": [0, 5]}"),
            "beyond the model's \"experts\"");
  CHECK_HAS(refusal("{\"layers\": 1048576, \"entries\": [{\"name\": \"{l}{e}\", \"dtype\": \"f32\","
                    " \"shape\": [], \"ranges\": {\"l\": [0, 1048576], \"e\": [0, 2]}}]}"),
            "makes more than a million parameters");
  CHECK_HAS(entry("\"shape\": [36028797018963967]"), "a parameter has at most 17592186044416");
  CHECK_HAS(entry("\"shape\": [17592186044416], \"ranges\": {\"l\": [0, 1]}"),
            "makes a model of more than 35184372088832 bytes");
  CHECK_THROWS_WITH_AS(plan::read_model_file("/tmp"), doctest::Contains("/tmp cannot be read"),
                       rlhf::Error);
  CHECK_THROWS_WITH_AS(plan::read_model_file("/nowhere/m.json"),
                       doctest::Contains("/nowhere/m.json cannot be opened"), rlhf::Error);
}

TEST_CASE(
    "names that stand for nothing, keys that are there twice, and cuts of scalars are refused") {
  std::string const rest = "\"dtype\": \"f32\", \"shape\": [4]";
  auto const named = [&](std::string const& members) {
    return refusal("{\"layers\": 2, \"experts\": 4, \"entries\": [{" + members + ", " + rest +
                   "}]}");
  };
  CHECK(named("\"name\": \"w\"").empty());
  CHECK_HAS(named("\"name\": \"\""), "entry 0: has an empty \"name\"");
  CHECK_HAS(named("\"name\": \"w{l}\""), "entry 0 (w{l}): names {l} but gives no range of l");
  CHECK_HAS(named("\"name\": \"w{l}\", \"ranges\": {\"e\": [0, 1]}"), "gives no range of l");
  CHECK_HAS(named("\"name\": \"w{e}\", \"ranges\": {\"l\": [0, 1]}"), "gives no range of e");
  CHECK_HAS(named("\"name\": \"w\", \"tied_to\": \"v{l}\""), "names {l} but gives no range of l");
  CHECK(named("\"name\": \"w{l}{e}\", \"ranges\": {\"l\": [0, 1], \"e\": [0, 1]}").empty());
  CHECK_HAS(named("\"name\": \"w\", \"name\": \"v\""),
            "model file m.json has the key \"name\" twice in one object");
  CHECK_HAS(refusal("{\"layers\": 2, \"entries\": [], \"layers\": 2}"), "the key \"layers\" twice");
  CHECK_HAS(refusal("{\"a\\u001b\": 2, \"a\\u001b\": []}"), "the key \"a?\" twice");
  CHECK_HAS(entry("\"shape\": [], \"split\": {\"tensor\": 0}"),
            "entry 0 (x): is a scalar, which no \"split\" can cut");
}

TEST_CASE("misspelt keys are refused with the nearest known one") {
  CHECK_HAS(refusal("{\"layer\": 2, \"entries\": []}"),
            "has an unknown key \"layer\"; the nearest known one is \"layers\"");
  for (auto const& words :
       {std::pair("\"splitt\": {\"tensor\": 0}", "split"), std::pair("\"range\": {}", "ranges"),
        std::pair("\"heds\": 4", "heads"), std::pair("\"split\": {\"tenosr\": 0}", "tensor"),
        std::pair("\"tied\": \"y\"", "tied_to"), std::pair("\"ranges\": {\"L\": [0, 1]}", "l")}) {
    std::string const wrong = words.first;
    std::string const right = words.second;
    CAPTURE(wrong);
    std::string const message = entry(rlhf::text("\"shape\": [8], ", wrong));
    CHECK_HAS(message, "entry 0 (x): has an unknown key");
    CHECK_HAS(message, rlhf::text("the nearest known one is \"", right, "\""));
  }
}

TEST_CASE("padding of the cut dimension is read, and refused where it cannot be") {
  plan::ModelList const read = plan::read_model(
      R"({"layers": 0, "entries": [{"name": "x", "dtype": "f32", "shape": [10, 2],
          "split": {"tensor": 0}, "padded": 12}]})",
      "m.json");
  CHECK(read.parameters.at(0).padded == 12);
  CHECK_HAS(entry("\"shape\": [4], \"padded\": 8"), "is \"padded\" but not cut");
  CHECK_HAS(entry("\"shape\": [4], \"split\": {\"tensor\": 0}, \"padded\": 3"),
            "needs a whole number \"padded\" from 4");
}

TEST_CASE("any text is read or refused, and what is read can be placed or refused") {
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    cases::Dice dice(seed);
    std::string content = model;
    int const changes = dice.between(1, 4);
    for (int i = 0; i < changes; ++i) {
      auto const at =
          static_cast<std::size_t>(dice.between(0, static_cast<int>(content.size()) - 1));
      if (dice.one_in(3)) {
        content[at] = static_cast<char>(dice.between(0, 255));
      } else {
        for (std::size_t d = at; d < content.size(); ++d) {
          if (content[d] >= '0' && content[d] <= '9') {
            content[d] = static_cast<char>('0' + dice.between(0, 9));
            break;
          }
        }
      }
    }
    try {
      plan::ModelList const read = plan::read_model(content, "m.json");
      ++accepted;
      plan::Side side;
      side.layout = {.tensor = dice.pick({1, 2, 3, 4}), .pipeline = dice.pick({1, 2}), .fsdp = 2};
      static_cast<void>(plan::place(read, side));
    } catch (rlhf::Error const&) {
    }
  }
  CHECK(accepted > 1000);
}
