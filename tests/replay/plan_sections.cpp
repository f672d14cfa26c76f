// Buckets, and who sends to whom.
#include <rlhf/plan/bucket_fill.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/proof.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "property/cases.hpp"
#include "property/whole_plan.hpp"
#include "replay/section.hpp"

using cases::Case;
using cases::Side;
using replay::json;
using rlhf::Layout;
using rlhf::Mesh;
namespace plan = rlhf::plan;

namespace {

// ---- bucket_tensors: all equal

void check_buckets(json const& entry, replay::Entry& result) {
  std::vector<plan::BucketItem> items;
  for (json const& tensor : entry.at("tensors")) {
    if (tensor.at("dtype") == "sparse") {
      result.not_expressible("there are no sparse tensors");
      return;
    }
    rlhf::DType const dtype = tensor.at("dtype") == "f32" ? rlhf::DType::f32 : rlhf::DType::bf16;
    items.push_back({tensor.at("numel").get<std::int64_t>() * rlhf::size_of(dtype), dtype});
  }
  std::int64_t const limit = entry.at("bucket_size_mb").get<std::int64_t>() * 1024 * 1024;
  result.equal("buckets", plan::fill_buckets(items, limit),
               entry.at("dense_buckets").get<std::vector<std::vector<std::int32_t>>>());
}
replay::Registration const bucket_tensors("bucket_tensors", check_buckets);

/// Who sends to whom, as sets: sender to receivers.
using Pairs = std::map<int, std::set<int>>;

Pairs pairs_of(json const& recorded) {
  Pairs out;
  for (json const& entry : recorded) {
    for (json const& to : entry.at(1)) {
      out[entry.at(0).get<int>()].insert(to.get<int>());
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

// ---- rank_mapping. On separate devices: the recorded senders, receivers and forwards. On shared
// devices we differ on purpose: bytes that a rank has are copied, not sent. (The reference avoids
// broadcasts from a device to itself by choosing other relays; here a source that is a member of
// the group that needs the bytes sends to each other member itself.) Pairs at which the reference
// stops, or whose ranks it leaves without a sender, are served by other routes.

void check_separate(json const& entry, replay::Entry& result) {
  Case const pair = case_of(entry.at("args"), false);
  bool const relays = entry.at("tp_num_mapping") > 1;
  whole::Whole const made = plan_of(pair, relays ? plan::Route::two_stage : plan::Route::broadcast);
  result.equal("first stage", first_hops(made), pairs_of(entry.at("stage1")));
  result.equal("second stage", second_hops(made), pairs_of(entry.at("stage2")));
  result.equal("fault", fault_of(pair, made), std::string());
  for (whole::WholeFlow const& flow : made.flows) {
    result.right("sets of several receivers are one broadcast",
                 (flow.method == plan::Method::broadcast) == (flow.receivers.size() > 1));
  }
}

void check_shared(json const& entry, replay::Entry& result) {
  Case const pair = case_of(entry.at("args"), true);
  whole::Whole const made = plan_of(pair, plan::Route::two_stage);
  result.equal("fault", fault_of(pair, made), std::string());
  result.right("some bytes are there already", made.bytes_local > 0);
  result.equal("bytes", made.bytes_moved + made.bytes_local, made.bytes_needed);
  for (whole::WholeFlow const& flow : made.flows) {
    std::set<int> touched{flow.source};
    for (int const receiver : flow.receivers) {
      result.right("a rank receives once", touched.insert(receiver).second);
    }
    for (plan::Forward const& forward : flow.forwards) {
      result.right("a rank receives once, forwards included", touched.insert(forward.to).second);
    }
  }
}

void check_any_pair(json const& entry, replay::Entry& result) {
  json args = entry.at("args");
  for (char const* const side : {"src", "dst"}) {  // one replica where the entry does not say
    std::string const name = side;
    args[name + "_gpus"] = args.value(
        name + "_gpus", args.at(name + "_tp").get<int>() * args.at(name + "_pp").get<int>());
  }
  Case const pair = case_of(args, false);
  bool refused = false;
  try {
    static_cast<void>(plan_of(pair, plan::Route::two_stage));
  } catch (rlhf::Error const&) {
    refused = true;
  }
  result.right("two stages cannot serve it, and say so", refused);
  for (plan::Route const route : {plan::Route::broadcast, plan::Route::point_to_point}) {
    result.equal("fault", fault_of(pair, plan_of(pair, route)), std::string());
  }
}

void check_mapping(json const& entry, replay::Entry& result) {
  json const& args = entry.at("args");
  int const source = args.at("src_tp").get<int>();
  int const destination = args.at("dst_tp").get<int>();
  replay::require(source >= 1 && destination >= 1, "a tensor size is below 1");
  if (args.value("hep", false) || args.value("src_ep", 1) != 1 || args.value("dst_ep", 1) != 1) {
    result.not_expressible("pairs of experts are compared in sync, by what arrives");
  } else if (destination % source != 0) {
    check_any_pair(entry, result);
  } else if (args.value("coloc", false)) {
    check_shared(entry, result);
  } else {
    check_separate(entry, result);
  }
}
replay::Registration const rank_mapping("rank_mapping", check_mapping);

// ---- second_stage_schedule: every pair runs, those that the reference drops, too

void check_second_stage(json const& entry, replay::Entry& result) {
  Case const pair = case_of(entry.at("args"), false);
  whole::Whole const made = plan_of(pair, plan::Route::two_stage);
  result.equal("fault", fault_of(pair, made), std::string());
  std::set<std::pair<int, int>> want;
  for (json const& both : entry.at("all_pairs")) {
    want.emplace(both.at(0).get<int>(), both.at(1).get<int>());
  }
  std::set<std::pair<int, int>> got;
  for (auto const& [from, all] : second_hops(made)) {
    for (int const to : all) {
      got.emplace(from, to);
    }
  }
  result.equal("pairs", got, want);
}
replay::Registration const second_stage("second_stage_schedule", check_second_stage);

}  // namespace
