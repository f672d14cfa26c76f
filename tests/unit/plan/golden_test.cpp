// What the reference was recorded doing, against what plans do. Where the two differ on purpose,
// the test says how.
#if __has_include(<nlohmann/json.hpp>)

#  include <rlhf/plan/bucket_fill.hpp>
#  include <rlhf/plan/build.hpp>
#  include <rlhf/plan/minimum.hpp>
#  include <rlhf/plan/model.hpp>
#  include <rlhf/plan/names.hpp>
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

TEST_CASE("every recorded section is tested, or left out for a reason") {
  std::map<std::string, std::string> const known = {
      {"meta", "no record"},
      {"bucket_tensors", "here"},
      {"rank_mapping", "here"},
      {"second_stage_schedule", "here"},
      {"two_stage_end_to_end", "here"},
      {"own_slice_index", "here"},
      {"name_maps", "here: what becomes of rules"},
      {"split_attn_state", "unit/parallel"},
      {"regroup_qkv", "unit/parallel"},
      {"bucket_tensors_two_stage_generator",
       "buffers of whole source tensors, which the two-stage route here never makes"},
      {"unflatten_dense_tensors", "the same buffers, unpacked"},
      {"collective_task_scheduler", "rounds of whole broadcasts; here turns of buckets"},
      {"regroup_params_to_sync_base", "reorders a gathered tensor; here boxes, none is gathered"},
      {"fix_query_key_value_ordering", "reading of old checkpoints"},
      {"transform_parameters", "rewrites tensors; here rules of both sides (property/fused_laws)"},
      {"allgather_routed_experts", "order inside a gathered buffer that is never made here"},
      {"moe_passes", "a recorded defect: experts that are never sent"}};
  for (auto const& item : golden().items()) {
    std::string const section = item.key();
    CAPTURE(section);
    CHECK(known.count(section) == 1);
  }
  CHECK(golden().size() == known.size());
}

TEST_CASE("two stages end to end: the recorded slices arrive") {
  int seen = 0;
  for (json const& entry : golden().at("two_stage_end_to_end")) {
    int const index = entry.at("index");
    json const& sender = entry.at("sender");
    Case pair;
    pair.source = Layout{};
    pair.destination = Layout{.tensor = 2};
    pair.source_mesh = Mesh::range(0, 1);
    pair.destination_mesh = Mesh::range(1, 2);
    pair.world = 3;
    cases::Parameter matrix;
    matrix.name = "matrix";
    matrix.global = {4, 2};
    matrix.destination.cuts = {{rlhf::Axis::tensor, 0, 1}};
    cases::Parameter bias;
    bias.name = "bias";
    bias.global = {2};
    pair.parameters = {matrix, bias};
    whole::Whole const made = plan_of(pair, plan::Route::two_stage);
    CHECK(fault_of(pair, made) == "");
    CHECK_FALSE(second_hops(made).empty());  // the bias is passed on
    plan::Description const destination = cases::describe(pair, Side::destination);
    plan::RankDescription const& own = destination.ranks.at(static_cast<std::size_t>(index));
    for (std::size_t p = 0; p < own.parameters.size(); ++p) {
      rlhf::plan::Placement const placed = plan::placement_of(destination, "destination");
      json got = json::array();
      for (auto const& part :
           placed.patterns.at(static_cast<std::size_t>(placed.parameters.at(p).pattern))) {
        auto const& ranks = placed.rank_sets.at(static_cast<std::size_t>(part.ranks));
        for (int const rank : ranks) {
          for (std::int64_t row = 0; rank == index && row < part.box.extent[0]; ++row) {
            got.push_back(sender.at(p).at(static_cast<std::size_t>(part.box.start[0] + row)));
          }
        }
      }
      CHECK(got == entry.at("receiver_after").at(p));
    }
    ++seen;
  }
  CHECK(seen == 2);
}

TEST_CASE(
    "every destination rank gets the slice it needs, also where the reference's takes another") {
  int ranks = 0;
  int defects = 0;
  for (json const& entry : golden().at("own_slice_index")) {
    json args = entry;
    args["src_pp"] = 1;
    args["dst_pp"] = 1;
    Case const pair = case_of(args, false);
    CHECK(fault_of(pair, plan_of(pair, plan::Route::two_stage)) == "");
    for (json const& one : entry.at("ranks")) {
      int const tensor = one.at("tp_rank");
      cases::Lists const rows =
          cases::slices_of(pair, Side::destination, pair.parameters.front(), {.tensor = tensor});
      int const ratio = entry.at("tp_num_mapping");
      std::int64_t const each = 48 / pair.destination.tensor;
      CHECK(rows.at(0).front() / each % ratio == one.at("slice_needed").get<std::int64_t>());
      defects += one.at("slice_used") != one.at("slice_needed") ? 1 : 0;
      ++ranks;
    }
  }
  CHECK(ranks == 10);
  CHECK(defects == 2);
}

TEST_CASE("routed experts on separate devices: the recorded senders and receivers") {
  int served = 0;
  int same = 0;
  for (json const& entry : golden().at("rank_mapping")) {
    std::string const id = entry.at("id");
    if (id.rfind("hep-", 0) != 0) {
      continue;
    }
    CAPTURE(id);
    json const& args = entry.at("args");
    auto const number = [&](char const* key) { return args.at(key).get<int>(); };
    bool const shared = args.at("coloc");
    plan::Side source;
    source.layout = Layout{.tensor = number("src_tp"),
                           .pipeline = number("src_pp"),
                           .expert = number("src_ep"),
                           .data = Layout::any}
                        .on_ranks(8);
    source.expert_tensor = 1;
    plan::Side destination;
    destination.layout =
        Layout{.tensor = number("dst_tp"), .pipeline = number("dst_pp"), .data = Layout::any}
            .on_ranks(8);
    destination.expert_tensor = 1;
    for (int rank = 0; rank < 8; ++rank) {
      destination.world_ranks.push_back(shared ? rank : 8 + rank);
    }
    plan::ModelList model;
    model.layers = 8;
    model.experts = 8;
    for (int layer = 0; layer < 8; ++layer) {
      for (int expert = 0; expert < 8; ++expert) {
        plan::ModelParameter one;
        one.name = rlhf::text("layers.", layer, ".experts.", expert);
        one.shape = {4};
        one.layer = layer;
        one.expert = expert;
        model.parameters.push_back(one);
      }
    }
    plan::Placement const from = plan::place(model, source);
    plan::Placement const to = plan::place(model, destination);
    plan::Plan const made = plan::build(from, to, {.route = plan::Route::broadcast});
    CHECK(plan::find_fault(made, from, to) == "");
    CHECK(made.bytes_moved == plan::minimum_bytes(from, to).lacking);
    ++served;
    if (!shared && !entry.at("routed").empty()) {
      CHECK(first_hops(whole::spread(made)) == pairs_of(entry.at("routed")));
      ++same;
    }
  }
  CHECK(served == 13);
  CHECK(same >= 4);
}

TEST_CASE("recorded name maps: one rule a name, each destination name once") {
  int maps = 0;
  for (json const& entry : golden().at("name_maps")) {
    CAPTURE(entry.at("map").get<std::string>());
    plan::Placement placed;
    std::vector<plan::NameRule> rules;
    auto const& names = entry.at("src_in");
    auto const& renamed = entry.at("src_out");
    std::set<std::string> want;
    for (std::size_t i = 0; i < names.size(); ++i) {
      placed.parameters.push_back({names[i], rlhf::DType::bf16, {4}, 0});
      rules.push_back({names[i], renamed[i]});
      want.insert(renamed[i]);
    }
    plan::rename(placed, plan::NameMap(rules));
    std::set<std::string> got;
    for (auto const& parameter : placed.parameters) {
      got.insert(parameter.name);
    }
    CHECK(got == want);
    ++maps;
  }
  CHECK(maps == 4);
}

#endif
