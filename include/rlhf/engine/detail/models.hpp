/// @file
/// The models that an engine's parts refer to, each once. Layer: engine, private.
#pragma once

#include <rlhf/engine/nodes.hpp>

#include <array>
#include <cstddef>
#include <string_view>

namespace rlhf::inline v0::engine::detail {

template <class M>
concept NamesItself = requires {
  { M::name } -> std::convertible_to<std::string_view>;
};

/// `M::name` where there is one, else the name of the first part that refers to the model.
template <class M>
[[nodiscard]] constexpr std::string_view name_of_model(std::string_view part) {
  if constexpr (NamesItself<M>) {
    return M::name;
  } else {
    return part;
  }
}

/// Calls `visit(model, name)` for the models of a node.
template <class Node, class Visit>
void visit_models(Node const& node, Visit&& visit) {
  if constexpr (Node::kind == NodeKind::sync) {
    visit(*node.source, name_of_model<typename Node::Source>(node.name));
    visit(*node.destination, name_of_model<typename Node::Destination>(node.name));
  } else {
    visit(*node.model, name_of_model<typename Node::Model>(node.name));
  }
}

/// Addresses that were met.
template <std::size_t N>
class Met {
 public:
  /// Whether it is the first time.
  [[nodiscard]] bool first(void const* address) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (seen_[i] == address) {
        return false;
      }
    }
    seen_[count_++] = address;
    return true;
  }

 private:
  std::array<void const*, N> seen_{};
  std::size_t count_ = 0;
};

}  // namespace rlhf::inline v0::engine::detail
