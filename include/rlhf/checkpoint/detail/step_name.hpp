/// @file
/// Steps as names of directories. Layer: checkpoint, private.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/text_record.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace rlhf::inline v0::checkpoint::detail {

/// `step-000000012`: at least nine digits, so that names sort like steps.
template <class = void>
[[nodiscard]] std::string step_name(std::int64_t step) {
  expects(step >= 0, "the step of a checkpoint must not be negative");
  char buffer[32];
  int const length =
      std::snprintf(buffer, sizeof buffer, "step-%09lld", static_cast<long long>(step));
  return std::string(buffer, static_cast<std::size_t>(length));
}

/// Whether a name is that of a step, followed by `ending`. Sets `step` then.
template <class = void>
[[nodiscard]] bool parse_step(std::string_view name, std::string_view ending, std::int64_t& step) {
  if (!name.starts_with("step-") || !name.ends_with(ending)) {
    return false;
  }
  name.remove_suffix(ending.size());
  std::size_t const digits = name.find_first_not_of('0', 5);
  std::uint64_t number = 0;
  if (digits != std::string_view::npos && (!data::parse_number(name.substr(digits), number) ||
                                           number > static_cast<std::uint64_t>(INT64_MAX))) {
    return false;
  }
  if (name != step_name(static_cast<std::int64_t>(number))) {
    return false;
  }
  step = static_cast<std::int64_t>(number);
  return true;
}

}  // namespace rlhf::inline v0::checkpoint::detail
