#include "study.hpp"

#include <rlhf/adapters/model_json.hpp>
#include <rlhf/adapters/plan_json.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/minimum.hpp>
#include <rlhf/plan/model.hpp>
#include <rlhf/plan/names.hpp>
#include <rlhf/plan/proof.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "files.hpp"
#include "names_file.hpp"
#include "side_files.hpp"
#include "topology_file.hpp"
#include <sys/resource.h>

namespace planner {
namespace {

namespace plan = rlhf::plan;

/// A pattern without * is a prefix.
bool matches(std::string_view name, std::string_view pattern) {
  return pattern.find('*') == std::string_view::npos ? name.starts_with(pattern)
                                                     : plan::matches_glob(name, pattern);
}

plan::ModelList read_model(std::string const& path) {
  plan::ModelList model = plan::read_model_file(path);
  if (model.parameters.empty()) {
    rlhf::fail(rlhf::Errc::invalid_argument,
               fmt::format("model file {} lists no parameters", path));
  }
  return model;
}

/// The destination's parameters that take part.
plan::ModelList read_destination(Options const& options) {
  plan::ModelList model =
      read_model(options.destination_model.empty() ? options.model : options.destination_model);
  if (!options.subset.empty()) {
    for (auto const& pattern : options.subset) {
      if (std::none_of(model.parameters.begin(), model.parameters.end(),
                       [&](auto const& one) { return matches(one.name, pattern); })) {
        rlhf::fail(rlhf::Errc::invalid_argument,
                   fmt::format("--subset {} matches no parameter of {}", pattern, model.name));
      }
    }
    plan::keep(model, [&](std::string_view name) {
      return std::any_of(options.subset.begin(), options.subset.end(),
                         [&](auto const& pattern) { return matches(name, pattern); });
    });
  }
  return model;
}

std::string layout_text(plan::Side const& side) {
  std::string out = rlhf::to_string(side.layout);
  if (side.expert_tensor != 0) {
    out += fmt::format(" expert_tensor={}", side.expert_tensor);
  }
  return out;
}

/// Adds the bytes of weights that each world rank holds on one side.
void add_weights(plan::Placement const& side, std::vector<std::int64_t>& of_rank) {
  std::vector<std::int64_t> of_pattern(side.patterns.size(), 0);  // bytes an element, summed
  for (auto const& parameter : side.parameters) {
    of_pattern[static_cast<std::size_t>(parameter.pattern)] += rlhf::size_of(parameter.dtype);
  }
  for (std::size_t p = 0; p < side.patterns.size(); ++p) {
    for (auto const& part : side.patterns[p]) {
      for (int const rank : side.rank_sets[static_cast<std::size_t>(part.ranks)]) {
        of_rank[static_cast<std::size_t>(side.world_ranks[static_cast<std::size_t>(rank)])] +=
            part.box.elements() * of_pattern[p];
      }
    }
  }
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::int64_t peak_rss() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace

Study study(Options const& options) {
  Study out;
  plan::Placement source;
  plan::Placement destination;
  bool const has_model = !options.model.empty();
  plan::ModelList model;
  plan::ModelList wanted;
  int world = 0;
  if (has_model) {
    model = read_model(options.model);
    wanted = read_destination(options);
    out.title = model.name;
    out.source = layout_text(*options.source);
    out.destination = layout_text(*options.destination);
    for (auto const* const ranks :
         {&options.source->world_ranks, &options.destination->world_ranks}) {
      world = std::max(world, *std::max_element(ranks->begin(), ranks->end()) + 1);
    }
  }
  double const begin = seconds_now();
  if (!options.plan_in.empty()) {
    out.plan = plan::plan_from_json(read_file("plan file", options.plan_in), options.plan_in);
    world = std::max(world, out.plan.world);
    out.title = has_model ? out.title : options.plan_in;
  }
  if (!options.topology.empty()) {
    out.topology = read_topology(options.topology, world);
  }
  if (has_model) {
    plan::NameMap const names = options.names.empty() ? plan::NameMap{} : read_names(options.names);
    plan::list_tied(model, wanted, names);
    plan::Side giving = *options.source;
    plan::Side taking = *options.destination;
    apply_stages(options.source_stages, model.layers, giving);
    apply_stages(options.destination_stages, wanted.layers, taking);
    if (!options.source_experts.empty()) {
      apply_experts(options.source_experts, giving);
    }
    if (!options.destination_experts.empty()) {
      apply_experts(options.destination_experts, taking);
    }
    source = plan::place(model, giving);
    plan::rename(source, names);
    destination = plan::place(wanted, taking);
    if (options.plan_in.empty()) {
      out.plan = plan::build(source, destination, options.plan, out.topology);
    }
  }
  out.plan_seconds = seconds_now() - begin;
  out.peak_rss_bytes = peak_rss();

  if (options.rank && *options.rank >= out.plan.world) {
    rlhf::fail(rlhf::Errc::invalid_argument,
               fmt::format("--rank {}: the world has {} ranks", *options.rank, out.plan.world));
  }
  out.prediction = plan::predict(out.plan, out.topology);
  if (options.format == Format::svg || options.format == Format::html) {
    out.timeline = timeline_of(out.plan, out.topology, out.prediction, options.rank);
  }
  out.fingerprint = plan::fingerprint(out.plan);
  out.staging_bytes = out.plan.slots * out.plan.bucket_bytes;
  if (!has_model) {
    out.proof = "not looked for; give --model, --source and --destination";
    return out;
  }
  out.proof = plan::find_fault(out.plan, source, destination);
  out.faulty = !out.proof.empty();
  out.proof = out.faulty ? out.proof : "exact cover";
  out.bytes_minimum = plan::minimum_bytes(source, destination).lacking;
  out.bytes_slow_link_minimum = plan::slow_link_minimum(source, destination, out.topology);
  std::vector<std::int64_t> weights(static_cast<std::size_t>(world), 0);
  add_weights(source, weights);
  add_weights(destination, weights);
  std::int64_t peak = 0;
  for (std::size_t rank = 0; rank < weights.size() && rank < out.prediction.ranks.size(); ++rank) {
    auto const& load = out.prediction.ranks[rank];
    peak = std::max(peak, weights[rank] + std::min(out.staging_bytes, load.sent + load.received));
  }
  out.peak_rank_bytes = peak;
  return out;
}

}  // namespace planner
