/// @file
/// A plan's numbers as text and as JSON.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "study.hpp"

namespace planner {

/// A line of a table: what, for a person, exactly.
struct Row {
  std::string what;
  std::string value;
  std::string exact;  ///< Empty where `value` is.
  bool heading = false;
};

/// The table that the text and the page show.
[[nodiscard]] std::vector<Row> rows_of(Study const& study);

/// Of a rank: its own schedule, too.
[[nodiscard]] std::string text_report(Study const& study, std::optional<int> rank);
[[nodiscard]] std::string json_report(Study const& study, std::optional<int> rank);

}  // namespace planner
