/// @file
/// Stage maps and expert tables of one side.
#pragma once

#include <rlhf/plan/model_list.hpp>

#include <string>

#include "options.hpp"

namespace planner {

/// Fills in which stage of the side holds which of the model's layers. Errors: rlhf::Error.
void apply_stages(StageMap const& map, int layers, rlhf::plan::Side& side);

/// Fills in the experts of a JSON file's list, `[3, 0, 1, 1, ...]`. Errors: rlhf::Error.
void apply_experts(std::string const& path, rlhf::plan::Side& side);

}  // namespace planner
