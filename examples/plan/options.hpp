/// @file
/// What the program can be told on the command line.
#pragma once

#include <rlhf/plan/model.hpp>
#include <rlhf/plan/options.hpp>

#include <optional>
#include <string>
#include <vector>

namespace planner {

enum class Format { text, json, svg, html };

/// Which pipeline stage holds which layer, as it was said.
struct StageMap {
  enum class Form { uneven, interleaved, map };
  Form form = Form::map;
  std::vector<int> numbers;  ///< Layers of each stage, chunks, or stages; empty: nothing was said.
  std::string option;        ///< For messages.
};

struct Options {
  std::string model;
  std::string destination_model;  ///< Empty: the same.
  std::string names;              ///< A file of rules from the source's names to the destination's.
  std::optional<rlhf::plan::Side> source;  ///< World ranks filled in.
  std::optional<rlhf::plan::Side> destination;
  StageMap source_stages;
  StageMap destination_stages;
  std::string source_experts;  ///< Files; empty: experts in order.
  std::string destination_experts;
  std::string topology;             ///< A file; empty: all ranks in one domain.
  std::vector<std::string> subset;  ///< Patterns; empty: every parameter.
  rlhf::plan::Options plan{.route = rlhf::plan::Route::automatic};
  std::optional<int> rank;  ///< Whose own schedule to show.
  Format format = Format::text;
  std::string plan_out;
  std::string plan_in;
};

/// Reads the command line. Prints help and ends the program where that is asked for.
/// Errors: rlhf::Error naming the option and what was expected.
[[nodiscard]] Options parse_options(int argc, char** argv);

}  // namespace planner
