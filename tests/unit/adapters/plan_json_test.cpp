#include <rlhf/adapters/plan_json.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/cost.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/proof.hpp>
#include <rlhf/plan/schedule.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <property/cases.hpp>

namespace plan = rlhf::plan;
using plan::Plan;
using plan::Route;

namespace {

struct Made {
  plan::Placement source;
  plan::Placement destination;
  plan::Topology topology;
  Plan plan;
};

Made made_from(std::uint64_t seed, int most_ranks = 12) {
  Route const route =
      std::initializer_list<Route>{Route::point_to_point, Route::broadcast, Route::two_stage,
                                   Route::hierarchical, Route::automatic}
          .begin()[seed % 5];
  auto const pair = cases::random_case(seed, most_ranks, route == Route::two_stage);
  Made out{plan::placement_of(cases::describe(pair, cases::Side::source)),
           plan::placement_of(cases::describe(pair, cases::Side::destination)),
           plan::Topology::of_hosts(pair.world + 1, 1 + static_cast<int>(seed % 4)),
           {}};
  out.plan = plan::build(out.source, out.destination,
                         plan::Options{.route = route,
                                       .choice = seed % 3 == 0 ? plan::SourceChoice::paired
                                                               : plan::SourceChoice::balanced,
                                       .bucket_bytes = 256},
                         out.topology);
  return out;
}

std::string refusal(std::string const& content) {
  try {
    static_cast<void>(plan::plan_from_json(content, "p.json"));
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return std::string(error.message());
  }
  return "";
}

/// Two ranks hold halves of two tensors and a third needs both whole; rank 1 keeps what it has.
Plan small_plan() {
  using rlhf::Box;
  plan::PlacementBuilder<> source(rlhf::Layout{.tensor = 2}, {0, 1});
  plan::PlacementBuilder<> destination(rlhf::Layout{.data = 2}, {1, 2});
  rlhf::Shape const shape{8, 4};
  auto const halves = source.pattern(
      {{Box{{0, 0}, {4, 4}}, source.ranks({0})}, {Box{{4, 0}, {4, 4}}, source.ranks({1})}});
  auto const whole = destination.pattern({{Box::whole(shape), destination.ranks({0, 1})}});
  for (char const* const name : {"a", "b \"\xc3\xbc\""}) {
    source.add(name, rlhf::DType::f32, shape, halves);
    destination.add(name, rlhf::DType::bf16, shape, whole);
  }
  source.add("optimizer", rlhf::DType::f32, shape, halves);
  return plan::build(source.take(), destination.take(), plan::Options{});
}

std::string with(std::string content, std::string const& from, std::string const& to) {
  std::size_t const at = content.find(from);
  REQUIRE_MESSAGE(at != std::string::npos, from);
  return content.replace(at, from.size(), to);
}

/// Uses a plan in every way; throws and crashes in none.
void use(Plan const& read) {
  static_cast<void>(plan::kinds_of(read));
  static_cast<void>(plan::fingerprint(read));
  static_cast<void>(plan::flows_of(read));
  static_cast<void>(plan::predict(read, plan::Topology::of_hosts(read.world, 2)));
  if (read.bytes_on_links < 1'000'000 && read.moves.size() < 1000) {
    static_cast<void>(plan::schedule(read));
  }
}

}  // namespace

#define CHECK_HAS(message, words) CHECK_MESSAGE((message).find(words) != std::string::npos, message)

TEST_CASE("a plan as JSON") {
  // Ranks that are one on both sides copy; the rest comes from the rank that has it.
  CHECK(plan::to_json(small_plan()) == R"({"format":1,
"fingerprint":")" + plan::detail::fingerprint_text(plan::fingerprint(small_plan())) +
                                           R"(",
"route":"point_to_point",
"bucket_bytes":67108864,
"slots":4,
"world":3,
"source_ranks":0,
"destination_ranks":1,
"bytes_needed":256,
"bytes_local":64,
"bytes_moved":192,
"bytes_on_links":192,
"rank_sets":[
[0,1],
[1,2],
[1],
[0]],
"parameters":[
"a",
"b \"ü\""],
"unused":[
"optimizer"],
"kinds":[
{"source_dtype":"f32","destination_dtype":"bf16","global":[8,4],"parameters":[0,1]}],
"paths":[
{"method":"send","receivers":[1],"forward_from":[],"forward_to":[],"destinations":[1]},
{"method":"send","receivers":[2],"forward_from":[],"forward_to":[],"destinations":[2]}],
"moves":[
{"kind":0,"start":[0,0],"extent":[4,4],"begin":0,"end":2,"sources":3,"paths":[0,1],"first":[0,4]},
{"kind":0,"start":[4,0],"extent":[4,4],"begin":0,"end":2,"sources":2,"paths":[1],"first":[0,2]}],
"copies":[
{"kind":0,"start":[4,0],"extent":[4,4],"ranks":2}]}
)");
  CHECK(plan::plan_from_json(plan::to_json(small_plan()), "") == small_plan());
}

TEST_CASE("every plan survives the way to JSON and back, and is proved there") {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    Made const made = made_from(seed, seed % 7 == 0 ? 40 : 12);
    std::string const content = plan::to_json(made.plan);
    Plan const read = plan::plan_from_json(content, "p.json");
    CHECK(read == made.plan);
    CHECK(plan::fingerprint(read) == plan::fingerprint(made.plan));
    CHECK(plan::to_json(read) == content);
    CHECK(plan::find_fault(read, made.source, made.destination) == "");
    use(read);
  }
}

TEST_CASE("long regular lists are short") {
  plan::PlacementBuilder<> source(rlhf::Layout{.data = 512}, [] {
    std::vector<int> ranks;
    for (int rank = 0; rank < 512; ++rank) {
      ranks.push_back(rank);
    }
    return ranks;
  }());
  plan::PlacementBuilder<> destination(rlhf::Layout{}, {512});
  std::vector<int> all;
  for (int rank = 0; rank < 512; ++rank) {
    all.push_back(rank);
  }
  auto const from = source.pattern({{rlhf::Box::whole({4}), source.ranks(all)}});
  auto const to = destination.pattern({{rlhf::Box::whole({4}), destination.ranks({0})}});
  for (int p = 0; p < 512; ++p) {
    source.add(std::to_string(p), rlhf::DType::f32, {4}, from);
    destination.add(std::to_string(p), rlhf::DType::f32, {4}, to);
  }
  Plan const made = plan::build(source.take(), destination.take(), plan::Options{});
  std::string const content = plan::to_json(made);
  CHECK_HAS(content, "\"rank_sets\":[\n[[0,1,512]],");
  CHECK_HAS(content, "\"first\":[[0,1,513]]");
  CHECK(content.size() < 512 * 8 + 1000);
  CHECK(plan::plan_from_json(content, "") == made);
}

TEST_CASE("a plan whose schedules no memory holds is refused at once") {
  using rlhf::Box;
  rlhf::Shape const shape{std::int64_t{1} << 27, std::int64_t{1} << 27};
  plan::PlacementBuilder<> source(rlhf::Layout{}, {0});
  source.add("w", rlhf::DType::f32, shape,
             source.pattern({{Box::whole(shape), source.ranks({0})}}));
  plan::PlacementBuilder<> destination(rlhf::Layout{}, {1});
  destination.add("w", rlhf::DType::f32, shape,
                  destination.pattern({{Box::whole(shape), destination.ranks({0})}}));
  std::int64_t const bucket = std::int64_t{1} << 40;
  std::string const content = plan::to_json(
      plan::build(source.take(), destination.take(), plan::Options{.bucket_bytes = bucket}));
  CHECK(refusal(content).empty());
  CHECK_HAS(refusal(with(content, rlhf::text(bucket), "256")),
            "plan file p.json, bucket_bytes: buckets of 256 bytes are too small: rank 0 would have "
            "281474976710656 of them");
}

TEST_CASE("what is wrong is named with its place and what was expected") {
  std::string const good = plan::to_json(small_plan());
  auto const changed = [&](std::string const& from, std::string const& to) {
    return refusal(with(good, from, to));
  };
  CHECK_HAS(refusal(""), "plan file p.json is not JSON: it ends in the middle, at line 1");
  CHECK_HAS(refusal(good.substr(0, 300)), "plan file p.json is not JSON: it ends in the middle");
  CHECK_HAS(refusal("{\n \"format\": ?}"), "plan file p.json is not JSON (line 2, column 12)");
  CHECK_HAS(refusal("[1e999]"), "plan file p.json holds a number that is out of range");
  CHECK_HAS(refusal("[]"), "plan file p.json: expected a JSON object");
  CHECK_HAS(refusal("{}"), "plan file p.json, format: is missing");
  CHECK_HAS(changed("\"slots\":4,", "\"slots\":4,\n\"slot\":4,"),
            "plan file p.json: has an unknown key \"slot\"; the nearest known one is \"slots\"");
  CHECK_HAS(changed("\"slots\":4,", "\"slots\":4,\n\"slots\":4,"), "the key \"slots\" twice");
  CHECK_HAS(changed("{\"method\"", "{\"methods\":1,\"method\""),
            "paths[0]: has an unknown key \"methods\"; the nearest known one is \"method\"");
  CHECK_HAS(changed("\"begin\":0", "\"begin\":0,\"start_\":0"), "moves[0]: has an unknown key");
  CHECK_HAS(changed("\"global\":", "\"globe\":0,\"global\":"), "kinds[0]: has an unknown key");
  CHECK_HAS(changed("\"ranks\":2}", "\"ranks\":2,\"begin\":0}"), "copies[0]: has an unknown key");
  CHECK_HAS(changed("\"format\":1", "\"format\":2"), "format: expected 1, found 2");
  CHECK_HAS(changed("point_to_point", "by_hand"),
            "route: expected one of point_to_point, broadcast, two_stage, hierarchical, found "
            "by_hand");
  CHECK_HAS(changed("67108864", "255"), "bucket_bytes: expected a whole number from 256 to");
  CHECK_HAS(changed("67108864", "18446744073709551615"), "bucket_bytes: expected a whole number");
  CHECK_HAS(changed("67108864", "64e6"), "bucket_bytes: expected a whole number");
  CHECK_HAS(changed("\"slots\":4", "\"slots\":3"), "slots: expected an even number of slots");
  CHECK_HAS(changed("\"world\":3", "\"world\":4"), "world: expected 3, one more than");
  CHECK_HAS(changed("\"world\":3", "\"world\":2"), "rank_sets[1]: expected a whole number from 0");
  CHECK_HAS(changed("\"source_ranks\":0", "\"source_ranks\":4"),
            "source_ranks: expected a whole number from 0 to 3, found 4");
  CHECK_HAS(changed("[0,1],\n", "[0,0],\n"), "rank_sets[0]: rank 0 is there twice");
  CHECK_HAS(changed("[0,1],\n", "[],\n"), "rank_sets[0]: expected at least one rank");
  CHECK_HAS(changed("[0,1],\n", "[[0,1,4]],\n"), "rank_sets[0]: expected numbers from 0 to 2");
  CHECK_HAS(changed("[0,1],\n", "[[0,0,1000000]],\n"), "rank_sets[0]: expected 3 numbers at most");
  CHECK_HAS(changed("[0,1],\n", "[[0,1]],\n"), "rank_sets[0]: expected a number, or [first, step");
  CHECK_HAS(changed("[0,1],\n", "[[2,9223372036854775807,3]],\n"), "rank_sets[0]: expected");
  CHECK_HAS(changed("[\n\"a\"", "[\n\"b \\\"\xc3\xbc\\\"\""), "is there twice");
  CHECK_HAS(changed("\"f32\"", "\"f31\""), "kinds[0].source_dtype: expected one of f32, bf16");
  CHECK_HAS(changed("\"global\":[8,4]", "\"global\":[8,-4]"), "kinds[0].global: expected a whole");
  CHECK_HAS(changed("\"global\":[8,4]", "\"global\":[1,1,1,1,1,1,1]"),
            "kinds[0].global: expected 6 dimensions at most");
  CHECK_HAS(changed("\"global\":[8,4]", "\"global\":[268435456,268435456]"),
            "kinds[0].global: has more elements than any tensor");
  CHECK_HAS(changed("\"parameters\":[0,1]", "\"parameters\":[0]"),
            "kinds: parameter 1 (b \"??\") belongs to no kind");
  CHECK_HAS(changed("\"parameters\":[0,1]", "\"parameters\":[1,0]"),
            "expected numbers that ascend");
  CHECK_HAS(changed("\"receivers\":[2]", "\"receivers\":[0]"),
            "paths[1].receivers: rank 0 is none of the destination's");
  CHECK_HAS(
      changed("\"forward_from\":[],\"forward_to\":[]", "\"forward_from\":[1],\"forward_to\":[1]"),
      "paths[0].forward_to: rank 1 is reached twice");
  CHECK_HAS(
      changed("\"forward_from\":[],\"forward_to\":[]", "\"forward_from\":[2],\"forward_to\":[2]"),
      "paths[0].forward_from: rank 2 forwards what it does not receive");
  CHECK_HAS(changed("\"destinations\":[2]", "\"destinations\":[1]"),
            "paths[1].destinations: rank 1 is not reached, or is there twice");
  CHECK_HAS(changed("\"extent\":[4,4],\"begin\"", "\"extent\":[9,4],\"begin\""),
            "moves[0].extent: expected a box inside of (8, 4)");
  CHECK_HAS(changed("\"start\":[0,0]", "\"start\":[9223372036854775807,0]"), "moves[0].start");
  CHECK_HAS(changed("\"begin\":0", "\"begin\":2"), "moves[0].begin: expected a whole number");
  CHECK_HAS(changed("\"sources\":3", "\"sources\":1"),
            "moves[0].sources: expected ranks of the source only");
  CHECK_HAS(changed("\"first\":[0,4]", "\"first\":[0,3]"),
            "moves[0].first: expected 2 numbers that ascend from 0 to 4");
  CHECK_HAS(changed("\"paths\":[1]", "\"paths\":[2]"), "moves[1].paths: expected a whole number");
  CHECK_HAS(changed("\"ranks\":2", "\"ranks\":0"), "copies[0].ranks: expected ranks of both sides");
  CHECK_HAS(changed("\"bytes_moved\":192", "\"bytes_moved\":191"),
            "bytes_moved: expected 192, as moves and copies add up to, found 191");
  CHECK_HAS(changed("\"a\"", "\"c\""), "fingerprint: expected 0x");
  CHECK_HAS(changed("\"fingerprint\":\"0x", "\"fingerprint\":\"1x"), "changed or damaged");
  CHECK_HAS(changed("\"copies\"", "\"copied\""),
            "an unknown key \"copied\"; the nearest known one is \"copies\"");
  CHECK_HAS(changed("\"copies\":[\n", "\"copies\":[7,\n"), "copies[0]: expected an object");
}

TEST_CASE("a name that is not UTF-8 is refused when written") {
  Plan made = small_plan();
  made.parameters[0] = "\xff";
  CHECK_THROWS_WITH_AS(plan::to_json(made), doctest::Contains("not UTF-8"), rlhf::Error);
}

TEST_CASE("any text is a plan that can be used, or refused") {
  int accepted = 0;
  std::vector<std::string> whole;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    whole.push_back(plan::to_json(seed % 4 == 0 ? small_plan() : made_from(seed).plan));
  }
  for (std::uint64_t seed = 0; seed < 12'000; ++seed) {
    cases::Dice dice(seed);
    std::string content = whole[seed % whole.size()];
    int const changes = dice.between(1, 4);
    for (int i = 0; i < changes && !content.empty(); ++i) {
      auto const at =
          static_cast<std::size_t>(dice.between(0, static_cast<int>(content.size()) - 1));
      switch (dice.between(0, 4)) {
        case 0:
          content[at] = static_cast<char>(dice.between(0, 255));
          break;
        case 1:  // another digit: what a reader that only parses would let pass
        case 2:
          for (std::size_t d = at; d < content.size(); ++d) {
            if (content[d] >= '0' && content[d] <= '9') {
              content[d] = static_cast<char>('0' + dice.between(0, 9));
              break;
            }
          }
          break;
        case 3:
          content.erase(at, static_cast<std::size_t>(dice.between(1, 9)));
          break;
        default:
          content.insert(at, content.substr(content.size() / 2,
                                            static_cast<std::size_t>(dice.between(1, 30))));
      }
    }
    // The fingerprint would refuse nearly all that the other checks let pass: mend it.
    for (int tries = 0; tries < 2; ++tries) {
      std::string const reason = refusal(content);
      std::size_t const known = reason.find("fingerprint: expected 0x");
      std::size_t const stored = content.find("\"fingerprint\":\"");
      if (known == std::string::npos || stored == std::string::npos) {
        break;
      }
      std::size_t const end = content.find('"', stored + 15);
      content.replace(stored + 15, end - stored - 15, reason.substr(known + 22, 18));
    }
    if (refusal(content).empty()) {
      ++accepted;
      use(plan::plan_from_json(content, ""));
    }
  }
  CHECK(accepted > 100);  // or the loop has shown nothing about plans that pass
}
