/// @file
/// Readable type names for messages and logs. Layer: core.
#pragma once

#include <cstddef>
#include <string_view>

namespace rlhf::inline v0 {

/// The type as the compiler spells it in messages, e.g. `rlhf::v0::sync::Broadcast<...>`.
///
/// No RTTI. The spelling differs between compilers: print it, never compare or store it.
template <class T>
[[nodiscard]] constexpr std::string_view type_name() noexcept {
  std::string_view const whole = __PRETTY_FUNCTION__;
  std::size_t const begin = whole.find("T = ");
  if (begin == std::string_view::npos) {
    return whole;
  }
  std::size_t end = whole.find(';', begin);  // g++ prints `[with T = X; std::... = ...]`
  if (end == std::string_view::npos) {
    end = whole.rfind(']');
  }
  return whole.substr(begin + 4, end - begin - 4);
}

}  // namespace rlhf::inline v0
