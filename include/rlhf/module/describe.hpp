/// @file
/// A module in one line, for logs. Layer: module.
#pragma once

#include <rlhf/core/text.hpp>
#include <rlhf/core/type_name.hpp>
#include <rlhf/parallel/layout.hpp>

#include <span>
#include <string>
#include <string_view>

namespace rlhf::inline v0 {

/// The model's own `static constexpr std::string_view name`, or its type.
template <class M>
[[nodiscard]] constexpr std::string_view name_of() noexcept {
  if constexpr (requires { std::string_view(M::name); }) {
    return M::name;
  } else {
    return type_name<M>();
  }
}

/// `Actor: tensor=2 data=2 on world ranks [0, 1, 2, 3], here rank 1 (tensor 1, data 0)`.
template <class M>
[[nodiscard]] std::string describe(M const& model) {
  std::string out = text(name_of<M>(), ": ", to_string(model.layout()), " on world ranks ",
                         list_text(model.mesh().world_ranks()), ", here ");
  if (!model.present()) {
    return out + "absent";
  }
  Coordinate const at = model.coordinate();
  out += text("rank ", model.rank());
  char const* separator = " (";
  for (int axis = 0; axis < axis_count; ++axis) {
    if (model.layout().size(static_cast<Axis>(axis)) > 1) {
      out +=
          text(separator, to_string(static_cast<Axis>(axis)), " ", at.on(static_cast<Axis>(axis)));
      separator = ", ";
    }
  }
  return *separator == ',' ? out + ")" : out;
}

}  // namespace rlhf::inline v0
