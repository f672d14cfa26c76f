// The least that takes part in a sync without deriving from rlhf::Module.
#pragma once

#include <rlhf/parallel/mesh.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <utility>

#include <archetypes/policies.hpp>
#include <archetypes/shard_rule.hpp>

namespace archetype {

/// A parameter of 4 x 2 floats on the two tensor ranks of a mesh of two.
class Endpoint {
 public:
  using SyncPolicy = Carry;

  explicit Endpoint(rlhf::Mesh mesh) : mesh_(std::move(mesh)) {}
  rlhf::Mesh const& mesh() const { return mesh_; }
  rlhf::Layout layout() const { return {.tensor = 2}; }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("table", rlhf::view(table, {2, 2}), EveryNthRow{});
  }

  float table[4] = {};

 private:
  rlhf::Mesh mesh_;
};

}  // namespace archetype
