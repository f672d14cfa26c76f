// A model whose memory may lie in one run, or not, and change between both.
#pragma once

#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/mesh.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <vector>

namespace cases {

/// One parameter of two rows, which may be further apart than they are long.
template <class Sync>
struct TwoRows {
  using SyncPolicy = Sync;
  rlhf::Mesh where;
  bool apart = false;
  std::vector<float> memory = std::vector<float>(64);

  [[nodiscard]] rlhf::Mesh const& mesh() const noexcept { return where; }
  [[nodiscard]] rlhf::Layout layout() const { return {.data = where.size()}; }
  template <class Visit>
  void parameters(Visit&& visit) {
    rlhf::TensorView view = rlhf::view(memory, {2, 32});
    view.shape = {2, 8};
    view.strides = {apart ? 32 : 8, 1};
    visit("weight", view, rlhf::shard::replicated());
  }
};

}  // namespace cases
