// What the reference was recorded doing, against what plans do. Where the two differ on purpose,
// the test says how.
#if __has_include(<nlohmann/json.hpp>)

#  include <rlhf/plan/bucket_fill.hpp>
#  include <rlhf/plan/build.hpp>
#  include <rlhf/plan/proof.hpp>

#  include <cstddef>
#  include <cstdint>
#  include <fstream>
#  include <map>
#  include <set>
#  include <string>
#  include <utility>
#  include <vector>

#  include <doctest/doctest.h>
#  include <nlohmann/json.hpp>

#  include "property/cases.hpp"
#  include "property/whole_plan.hpp"

using cases::Case;
using cases::Side;
using nlohmann::json;
using rlhf::Layout;
using rlhf::Mesh;
namespace plan = rlhf::plan;

namespace {

json const& golden() {
  static json const parsed = [] {
    std::ifstream file(RLHF_TEST_DATA_DIR "/sync.json");
    REQUIRE_MESSAGE(file.good(), RLHF_TEST_DATA_DIR "/sync.json is missing");
    return json::parse(file);
  }();
  return parsed;
}

/// Who sends to whom, as sets: sender to receivers.
using Pairs = std::map<int, std::set<int>>;

Pairs pairs_of(json const& recorded) {
  Pairs out;
  for (json const& entry : recorded) {
    for (json const& to : entry[1]) {
      out[entry[0].get<int>()].insert(to.get<int>());
    }
  }
  return out;
}

/// A model in which every pair of ranks that may carry bytes does: each stage has layers whose
/// matrices are cut over the tensor axis on both sides.
Case case_of(json const& args, bool colocated) {
  auto const number = [&](char const* key) { return args.at(key).get<int>(); };
  Case out;
  out.source = Layout{.tensor = number("src_tp"), .pipeline = number("src_pp"), .data = Layout::any}
                   .on_ranks(number("src_gpus"));
  out.destination =
      Layout{.tensor = number("dst_tp"), .pipeline = number("dst_pp"), .data = Layout::any}
          .on_ranks(number("dst_gpus"));
  out.source_mesh = Mesh::range(0, number("src_gpus"));
  // The reference numbers inference replicas one after the other; the module's ranks count
  // pipeline stages slowest. The mesh says which is which.
  std::vector<int> destination(static_cast<std::size_t>(number("dst_gpus")));
  int next_rank = colocated ? 0 : number("src_gpus");
  for (int replica = 0; replica < out.destination.data; ++replica) {
    for (int stage = 0; stage < out.destination.pipeline; ++stage) {
      for (int tensor = 0; tensor < out.destination.tensor; ++tensor) {
        int const rank =
            out.destination.rank({.tensor = tensor, .data = replica, .pipeline = stage});
        destination[static_cast<std::size_t>(rank)] = next_rank++;
      }
    }
  }
  out.destination_mesh = Mesh(destination);
  int const stages = out.source.pipeline;  // a multiple of the destination's
  for (int layer = 0; layer < 2 * stages; ++layer) {
    cases::Parameter next;
    next.name = "layers." + std::to_string(layer) + ".weight";
    next.dtype = rlhf::DType::bf16;
    next.global = {48, 2};
    next.source.cuts = {{rlhf::Axis::tensor, 0, 1}};
    next.destination.cuts = next.source.cuts;
    next.depth = (layer + 0.5) / (2 * stages);
    out.parameters.push_back(next);
  }
  return out;
}

whole::Whole plan_of(Case const& pair, plan::Route route) {
  return whole::spread(plan::build(cases::describe(pair, Side::source),
                                   cases::describe(pair, Side::destination),
                                   {route, plan::SourceChoice::paired, 1 << 20, 2}));
}

Pairs first_hops(whole::Whole const& made) {
  Pairs out;
  for (whole::WholeFlow const& flow : made.flows) {
    out[flow.source].insert(flow.receivers.begin(), flow.receivers.end());
  }
  return out;
}

Pairs second_hops(whole::Whole const& made) {
  Pairs out;
  for (whole::WholeFlow const& flow : made.flows) {
    for (plan::Forward const& forward : flow.forwards) {
      out[forward.from].insert(forward.to);
    }
  }
  return out;
}

std::string fault_of(Case const& pair, whole::Whole const& made) {
  return whole::element_fault(made, cases::describe(pair, Side::source),
                              cases::describe(pair, Side::destination));
}

}  // namespace

TEST_CASE("bucket_tensors: the recorded buckets, all cases") {
  int cases_seen = 0;
  for (json const& entry : golden().at("bucket_tensors")) {
    CAPTURE(entry.at("id").get<std::string>());
    std::vector<plan::BucketItem> items;
    for (json const& tensor : entry.at("tensors")) {
      rlhf::DType const dtype = tensor.at("dtype") == "f32" ? rlhf::DType::f32 : rlhf::DType::bf16;
      items.push_back({tensor.at("numel").get<std::int64_t>() * rlhf::size_of(dtype), dtype});
    }
    std::int64_t const limit = entry.at("bucket_size_mb").get<std::int64_t>() * 1024 * 1024;
    auto const want = entry.at("dense_buckets").get<std::vector<std::vector<std::int32_t>>>();
    CHECK(plan::fill_buckets(items, limit) == want);
    ++cases_seen;
  }
  CHECK(cases_seen == 8);
}

TEST_CASE("rank_mapping on separate devices: the recorded senders, receivers and forwards") {
  int cases_seen = 0;
  int two_stage = 0;
  for (json const& entry : golden().at("rank_mapping")) {
    std::string const id = entry.at("id");
    if (id.find("sep") == std::string::npos) {
      continue;
    }
    CAPTURE(id);
    Case const pair = case_of(entry.at("args"), false);
    bool const relays = entry.at("tp_num_mapping") > 1;
    whole::Whole const made =
        plan_of(pair, relays ? plan::Route::two_stage : plan::Route::broadcast);
    CHECK(first_hops(made) == pairs_of(entry.at("stage1")));
    CHECK(second_hops(made) == pairs_of(entry.at("stage2")));
    CHECK(fault_of(pair, made) == "");
    for (whole::WholeFlow const& flow :
         made.flows) {  // sets of several receivers are one broadcast
      CHECK((flow.method == plan::Method::broadcast) == (flow.receivers.size() > 1));
    }
    ++cases_seen;
    two_stage += relays ? 1 : 0;
  }
  CHECK(cases_seen == 16);
  CHECK(two_stage == 6);
}

TEST_CASE("every pair of the second stage runs, those that the reference drops, too") {
  int cases_seen = 0;
  int dropped = 0;
  for (json const& entry : golden().at("second_stage_schedule")) {
    Case const pair = case_of(entry.at("args"), false);
    whole::Whole const made = plan_of(pair, plan::Route::two_stage);
    std::set<std::pair<int, int>> want;
    for (json const& both : entry.at("all_pairs")) {
      want.emplace(both[0].get<int>(), both[1].get<int>());
    }
    std::set<std::pair<int, int>> got;
    for (auto const& [from, all] : second_hops(made)) {
      for (int const to : all) {
        got.emplace(from, to);
      }
    }
    CHECK(got == want);
    CHECK(fault_of(pair, made) == "");
    dropped += entry.at("never_executed (defect)").empty() ? 0 : 1;
    ++cases_seen;
  }
  CHECK(cases_seen == 8);
  CHECK(dropped >= 3);
}

TEST_CASE("on shared devices we differ on purpose: bytes that a rank has are copied, not sent") {
  // The reference avoids broadcasts from a device to itself by choosing other relays. Here a source
  // that is a member of the group that needs the bytes sends to each other member itself.
  for (json const& entry : golden().at("rank_mapping")) {
    std::string const id = entry.at("id");
    if (id.rfind("co-", 0) != 0) {
      continue;
    }
    CAPTURE(id);
    Case const pair = case_of(entry.at("args"), true);
    whole::Whole const made = plan_of(pair, plan::Route::two_stage);
    CHECK(fault_of(pair, made) == "");
    CHECK(made.bytes_local > 0);
    CHECK(made.bytes_moved + made.bytes_local == made.bytes_needed);
    for (whole::WholeFlow const& flow : made.flows) {
      std::set<int> touched{flow.source};
      for (int const receiver : flow.receivers) {
        CHECK(touched.insert(receiver).second);
      }
      for (plan::Forward const& forward : flow.forwards) {
        CHECK(touched.insert(forward.to).second);
      }
    }
  }
}

TEST_CASE("a source with more tensor ranks: the reference stops, other routes serve it here") {
  for (json const& entry : golden().at("rank_mapping")) {
    if (entry.at("id") != "src-tp-larger") {
      continue;
    }
    json args = entry.at("args");
    args["src_gpus"] = 8;
    args["dst_gpus"] = 4;
    Case const pair = case_of(args, false);
    CHECK_THROWS_AS(static_cast<void>(plan_of(pair, plan::Route::two_stage)), rlhf::Error);
    for (plan::Route const route : {plan::Route::broadcast, plan::Route::point_to_point}) {
      CHECK(fault_of(pair, plan_of(pair, route)) == "");
    }
  }
}

#endif
