/// @file
/// Rules that rename parameters, from a file.
#pragma once

#include <rlhf/plan/names.hpp>

#include <string>

namespace planner {

/// Reads `[["old.{l}.name", "new.{l}.name"], ...]`. Errors: rlhf::Error naming the file and the
/// rule.
[[nodiscard]] rlhf::plan::NameMap read_names(std::string const& path);

}  // namespace planner
