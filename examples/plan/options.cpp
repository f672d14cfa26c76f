#include "options.hpp"

#include <rlhf/core/error.hpp>
#include <rlhf/parallel/layout.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <getopt.h>

namespace planner {
namespace {

using rlhf::plan::Side;

constexpr int most_ranks = 1 << 17;

constexpr std::string_view help =
    R"(usage: rlhf-plan --model FILE --source AXIS=N,... --destination AXIS=N,... [option...]
       rlhf-plan --plan-in FILE [option...]

Plans a weight sync of a model between two layouts without running it: bytes, balance, staging,
predicted time, a proof that every element arrives once.

  --model FILE             parameter list; examples are in benchmarks/models
  --source AXIS=N,...      layout that has the weights; axes: tensor, pipeline, expert, data, fsdp,
                           zero, expert_tensor (tensor size of experts)
  --destination AXIS=N,... layout that gets them
  --source-ranks LIST      world ranks, 0-15,20; default: from 0
  --destination-ranks LIST default: behind the source's
  --source-stages MAP      which pipeline stage holds which layer: uneven:10,14,12 (layers of each
                           stage), interleaved:2 (chunks of each stage, in turn) or map:0,0,1,0
                           (the stage of each layer); default: even
  --destination-stages MAP
  --source-experts FILE    the expert in each physical slot, [3, 0, 1, 1, ...]; slots are dealt to
                           expert ranks in even runs, an expert may have several; default: in order
  --destination-experts FILE
  --colocated              destination ranks from 0, on the source's
  --topology FILE          {"ranks_per_domain": 8} or {"domains": [0, 0, 1, 1]}, and
                           "fast_gb_per_second", "slow_gb_per_second", "call_microseconds";
                           default: all ranks in one domain
  --route NAME             point_to_point, broadcast, two_stage, hierarchical or automatic
  --bucket SIZE            bytes that move together: 64MiB
  --slots N                buckets that a rank stages at most (4)
  --destination-model FILE parameter list of the destination where its names, ties or padding
                           ("padded": the extent that the tensor cut counts in) differ
  --names FILE             rules from the source's names to the destination's:
                           [["layers.{l}.w1", "blocks.{l}.gate"], ...]; {word} is a piece of a
                           name without dots
  --subset PATTERN         only parameters of the destination that begin so, or that match with * for any text;
                           may be repeated
  --rank N                 that world rank's own schedule, too
  --format NAME            text, json, svg or html
  --plan-out FILE          write the plan as JSON
  --plan-in FILE           report on a written plan; with model and layouts it is proved for them
  -h, --help               this text

Exit status: 0; 1 where a plan that was read is not right for the model; 2 for wrong input.
)";

template <class... Values>
[[noreturn]] void refuse(fmt::format_string<Values...> format, Values&&... values) {
  rlhf::fail(rlhf::Errc::invalid_argument, fmt::format(format, std::forward<Values>(values)...));
}

std::int64_t number(std::string_view what, std::string_view value, std::int64_t least,
                    std::int64_t most) {
  std::int64_t out = 0;
  auto const [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
  if (error != std::errc{} || end != value.data() + value.size() || out < least || out > most) {
    refuse("{} needs a whole number from {} to {}, got {}", what, least, most, value);
  }
  return out;
}

/// Calls `take(part)` for what commas separate.
template <class Take>
void for_each_part(std::string_view option, std::string_view value, Take&& take) {
  for (bool more = true; more;) {
    std::size_t const comma = value.find(',');
    more = comma != std::string_view::npos;
    std::string_view const part = value.substr(0, comma);
    if (part.empty()) {
      refuse("{} has an empty place between commas", option);
    }
    take(part);
    value.remove_prefix(more ? comma + 1 : value.size());
  }
}

/// `tensor=2,data=2`.
Side side_of(std::string_view option, std::string_view value) {
  Side out;
  std::vector<std::string_view> seen;
  for_each_part(option, value, [&](std::string_view part) {
    std::size_t const equals = part.find('=');
    std::string_view const axis = part.substr(0, equals);
    std::pair<std::string_view, int*> const axes[] = {
        {"tensor", &out.layout.tensor},       {"pipeline", &out.layout.pipeline},
        {"expert", &out.layout.expert},       {"data", &out.layout.data},
        {"fsdp", &out.layout.fsdp},           {"zero", &out.layout.zero},
        {"expert_tensor", &out.expert_tensor}};
    auto const found = std::find_if(std::begin(axes), std::end(axes),
                                    [&](auto const& one) { return one.first == axis; });
    if (found == std::end(axes)) {
      refuse(
          "{} has an unknown axis {}; use tensor, pipeline, expert, data, fsdp, zero or "
          "expert_tensor",
          option, axis);
    }
    if (equals == std::string_view::npos) {
      refuse("{} needs a size for {}, such as {}=2", option, axis, axis);
    }
    if (std::find(seen.begin(), seen.end(), axis) != seen.end()) {
      refuse("{} names {} twice", option, axis);
    }
    seen.push_back(axis);
    *found->second = static_cast<int>(
        number(fmt::format("{} {}", option, axis), part.substr(equals + 1), 1, most_ranks));
  });
  rlhf::Layout const& layout = out.layout;
  if (layout.fault() != rlhf::LayoutFault::none) {
    refuse("{}: {}", option, rlhf::describe(layout.fault(), layout, 0));
  }
  if (layout.needed_ranks(layout.data) > most_ranks) {
    refuse("{} {} has more than {} ranks", option, value, most_ranks);
  }
  return out;
}

/// `0-15,20`.
std::vector<int> ranks_of(std::string_view option, std::string_view value) {
  std::vector<int> out;
  for_each_part(option, value, [&](std::string_view part) {
    std::size_t const dash = part.find('-');
    auto const first = number(option, part.substr(0, dash), 0, most_ranks - 1);
    auto const last = dash == std::string_view::npos
                          ? first
                          : number(option, part.substr(dash + 1), first, most_ranks - 1);
    for (auto rank = first; rank <= last; ++rank) {
      out.push_back(static_cast<int>(rank));
    }
    if (std::ssize(out) > most_ranks) {
      refuse("{} has more than {} ranks", option, most_ranks);
    }
  });
  std::vector<int> sorted = out;
  std::sort(sorted.begin(), sorted.end());
  auto const twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    refuse("{} names rank {} twice", option, *twice);
  }
  return out;
}

/// The world ranks of a side: those given, or consecutive ones.
void fill_ranks(std::string_view option, Side& side, std::string_view given, int first) {
  int const needed = side.layout.ranks();
  if (!given.empty()) {
    side.world_ranks = ranks_of(option, given);
    if (std::ssize(side.world_ranks) != needed) {
      refuse("{} has {} ranks, but its layout {} needs {}", option, side.world_ranks.size(),
             rlhf::to_string(side.layout), needed);
    }
    return;
  }
  for (int rank = 0; rank < needed; ++rank) {
    side.world_ranks.push_back(first + rank);
  }
}

/// `uneven:10,14,12`, `interleaved:2`, `map:0,0,1`.
StageMap stage_map_of(std::string_view option, std::string_view value) {
  std::size_t const colon = value.find(':');
  std::string_view const form = value.substr(0, colon);
  StageMap out;
  out.option = option;
  if (colon == std::string_view::npos || colon + 1 == value.size() ||
      (form != "uneven" && form != "interleaved" && form != "map")) {
    refuse("{} needs uneven:N,N,..., interleaved:N or map:N,N,..., got {}", option, value);
  }
  out.form = form == "uneven"        ? StageMap::Form::uneven
             : form == "interleaved" ? StageMap::Form::interleaved
                                     : StageMap::Form::map;
  for_each_part(option, value.substr(colon + 1), [&](std::string_view part) {
    out.numbers.push_back(
        static_cast<int>(number(fmt::format("{} {}", option, form), part,
                                out.form == StageMap::Form::interleaved ? 1 : 0, 1 << 20)));
  });
  if (out.form == StageMap::Form::interleaved && out.numbers.size() != 1) {
    refuse("{} interleaved needs one number, got {}", option, value);
  }
  return out;
}

/// `64MiB`, `1GB`, `4096`.
std::int64_t bytes_of(std::string_view option, std::string_view value) {
  std::size_t const digits = value.find_first_not_of("0123456789");
  std::string_view const unit = digits == std::string_view::npos ? "B" : value.substr(digits);
  constexpr std::pair<std::string_view, std::int64_t> units[] = {
      {"B", 1},      {"KiB", 1 << 10}, {"MiB", 1 << 20},  {"GiB", 1 << 30},
      {"kB", 1'000}, {"KB", 1'000},    {"MB", 1'000'000}, {"GB", 1'000'000'000}};
  for (auto const& [name, factor] : units) {
    if (name == unit) {
      std::int64_t const most = (std::int64_t{1} << 40) / factor;
      std::int64_t const size = number(option, value.substr(0, digits), 1, most) * factor;
      if (size < 256) {
        refuse("{} needs at least 256 bytes, got {}", option, value);
      }
      return size;
    }
  }
  refuse("{} needs a size such as 64MiB, got {}", option, value);
}

template <class Value>
Value one_of(std::string_view option, std::string_view value,
             std::initializer_list<std::pair<std::string_view, Value>> names) {
  std::string known;
  for (auto const& [name, found] : names) {
    if (name == value) {
      return found;
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  refuse("{} knows {}; got {}", option, known, value);
}

}  // namespace

Options parse_options(int argc, char** argv) {
  constexpr std::string_view names[] = {"--model",
                                        "--source",
                                        "--destination",
                                        "--source-ranks",
                                        "--destination-ranks",
                                        "--topology",
                                        "--route",
                                        "--bucket",
                                        "--slots",
                                        "--subset",
                                        "--rank",
                                        "--format",
                                        "--plan-out",
                                        "--plan-in",
                                        "--names",
                                        "--destination-model",
                                        "--source-stages",
                                        "--destination-stages",
                                        "--source-experts",
                                        "--destination-experts"};
  enum : int { colocated = 256, with_value };
  std::vector<option> table = {{"help", no_argument, nullptr, 'h'},
                               {"colocated", no_argument, nullptr, colocated}};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    table.push_back(
        {names[i].data() + 2, required_argument, nullptr, with_value + static_cast<int>(i)});
  }
  table.push_back({nullptr, 0, nullptr, 0});

  Options options;
  bool is_colocated = false;
  std::string_view source_ranks;
  std::string_view destination_ranks;
  opterr = 0;
  for (int found = 0; (found = getopt_long(argc, argv, ":h", table.data(), nullptr)) != -1;) {
    if (found == 'h') {
      fmt::print("{}", help);
      std::exit(0);
    }
    if (found == colocated) {
      is_colocated = true;
      continue;
    }
    if (found == ':') {
      refuse("{} needs a value", argv[optind - 1]);
    }
    if (found == '?') {
      refuse("there is no option {}; --help lists them", argv[optind - 1]);
    }
    std::string_view const name = names[found - with_value];
    std::string_view const value = optarg;
    if (value.empty()) {
      refuse("{} needs a value", name);
    }
    if (name == "--model") {
      options.model = value;
    } else if (name == "--source") {
      options.source = side_of(name, value);
    } else if (name == "--destination") {
      options.destination = side_of(name, value);
    } else if (name == "--source-ranks") {
      source_ranks = value;
    } else if (name == "--destination-ranks") {
      destination_ranks = value;
    } else if (name == "--topology") {
      options.topology = value;
    } else if (name == "--route") {
      using rlhf::plan::Route;
      options.plan.route = one_of<Route>(name, value,
                                         {{"point_to_point", Route::point_to_point},
                                          {"broadcast", Route::broadcast},
                                          {"two_stage", Route::two_stage},
                                          {"hierarchical", Route::hierarchical},
                                          {"automatic", Route::automatic}});
    } else if (name == "--bucket") {
      options.plan.bucket_bytes = bytes_of(name, value);
    } else if (name == "--slots") {
      options.plan.slots = static_cast<int>(number(name, value, 2, 1024));
      if (options.plan.slots % 2 != 0) {
        refuse("--slots needs an even number, got {}", value);
      }
    } else if (name == "--subset") {
      options.subset.emplace_back(value);
    } else if (name == "--rank") {
      options.rank = static_cast<int>(number(name, value, 0, most_ranks - 1));
    } else if (name == "--format") {
      options.format = one_of<Format>(name, value,
                                      {{"text", Format::text},
                                       {"json", Format::json},
                                       {"svg", Format::svg},
                                       {"html", Format::html}});
    } else if (name == "--names") {
      options.names = value;
    } else if (name == "--destination-model") {
      options.destination_model = value;
    } else if (name == "--source-stages" || name == "--destination-stages") {
      StageMap& map =
          name == "--source-stages" ? options.source_stages : options.destination_stages;
      map = stage_map_of(name, value);
    } else if (name == "--source-experts") {
      options.source_experts = value;
    } else if (name == "--destination-experts") {
      options.destination_experts = value;
    } else if (name == "--plan-out") {
      options.plan_out = value;
    } else {
      options.plan_in = value;
    }
  }
  if (optind != argc) {
    refuse("unexpected argument {}; --help lists the options", argv[optind]);
  }
  bool const all = !options.model.empty() && options.source && options.destination;
  bool const none = options.model.empty() && !options.source && !options.destination;
  if (!all && (!none || options.plan_in.empty())) {
    refuse("{} is missing; --model, --source and --destination are needed{}",
           options.model.empty() ? "--model"
           : !options.source     ? "--source"
                                 : "--destination",
           none ? ", or --plan-in" : " together");
  }
  if (!options.subset.empty() && none) {
    refuse("--subset chooses from a model; --model is missing");
  }
  if (none && (!options.names.empty() || !options.destination_model.empty())) {
    refuse("{} belongs to a model; --model is missing",
           options.names.empty() ? "--destination-model" : "--names");
  }
  if (none &&
      (!options.source_stages.numbers.empty() || !options.source_experts.empty() ||
       !options.destination_stages.numbers.empty() || !options.destination_experts.empty())) {
    refuse("stages and experts belong to layouts; --source and --destination are missing");
  }
  if (none && (is_colocated || !source_ranks.empty() || !destination_ranks.empty())) {
    refuse("ranks belong to layouts; --source and --destination are missing");
  }
  if (is_colocated && !destination_ranks.empty()) {
    refuse("--colocated and --destination-ranks contradict each other; give one of them");
  }
  if (all) {
    fill_ranks("--source-ranks", *options.source, source_ranks, 0);
    auto const& source = options.source->world_ranks;
    fill_ranks("--destination-ranks", *options.destination, destination_ranks,
               is_colocated ? 0 : *std::max_element(source.begin(), source.end()) + 1);
  }
  return options;
}

}  // namespace planner
