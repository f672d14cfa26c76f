/// @file
/// Plans to JSON and back. Layer: adapters.
///
/// The format, version 1, is one object with every member of `BasicPlan` under its name. A list of
/// numbers may hold `[first, step, count]` in place of numbers that go up in equal steps: rank sets
/// and lists of parameters are mostly those. `"fingerprint"` is the plan's, in hexadecimal.
#pragma once

#include <rlhf/adapters/detail/json_text.hpp>
#include <rlhf/adapters/detail/plan_reader.hpp>
#include <rlhf/adapters/detail/plan_writer.hpp>
#include <rlhf/plan/plan.hpp>

#include <string>
#include <string_view>

namespace rlhf::inline v0::plan {

/// A plan as JSON, every member, one item of a list a line. Equal plans give equal text.
///
/// Errors: invalid_argument for a parameter's name that is not UTF-8.
template <class T>
[[nodiscard]] std::string to_json(BasicPlan<T> const& plan) {
  return detail::PlanWriter<T>().write(plan);
}

/// The plan that `to_json` wrote; `plan_from_json(to_json(plan), "")` equals the plan. `origin` is
/// for messages.
///
/// Any text is read or refused: whatever passes can be predicted, proved, and scheduled rank by
/// rank without a further check, within the bounds of plan/schedule_size.hpp. Whether it is the
/// right plan for two placements, `find_fault` tells. Errors: invalid_argument naming the file, the
/// place in it and what was expected there.
[[nodiscard]] inline Plan plan_from_json(std::string_view content, std::string_view origin) {
  return detail::PlanReader(origin).read(adapters::detail::json_of(content, "plan file", origin));
}

}  // namespace rlhf::inline v0::plan
