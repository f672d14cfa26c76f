/// @file
/// Which of the models that share a rank has its memory on the device. Layer: engine, private.
#pragma once

#include <rlhf/module/hooks.hpp>
#include <rlhf/runtime/offload.hpp>

#include <string_view>

namespace rlhf::inline v0::engine::detail {

/// Offloads all models of this rank but `keep` and `also`. Cheap where they are away already.
template <class AllParts>
void make_room(AllParts& parts, void const* keep, void const* also = nullptr) {
  parts.for_each_model([&](auto& model, std::string_view) {
    if (model.present() && &model != keep && &model != also) {
      static_cast<void>(runtime::offload(model));
    }
  });
}

/// Brings a model's parts to the device, where models take turns there.
template <class R, class M>
void bring(R& run, M& model, runtime::Parts parts) {
  if (run.options.offload && model.present()) {
    make_room(run.parts, &model);
    static_cast<void>(runtime::onload(model, parts));
  }
}

/// Weights of both sides of a sync, where models take turns. Whether they do.
template <class R, class Node>
bool bring_both(R& run, Node& node) {
  if (!run.options.offload) {
    return false;
  }
  make_room(run.parts, node.source, node.destination);
  auto const onload = [](auto& model) {
    if (model.present()) {
      static_cast<void>(runtime::onload(model, runtime::Part::weights));
    }
  };
  onload(*node.source);
  onload(*node.destination);
  return true;
}

/// Weights of all models that can be evaluated, where models take turns.
template <class R>
void bring_evaluated(R& run) {
  if (!run.options.offload) {
    return;
  }
  run.parts.for_each_model([&]<class M>(M& model, std::string_view) {
    if (!model_detail::has_eval_step<M> && model.present()) {
      static_cast<void>(runtime::offload(model));
    }
  });
  run.parts.for_each_model([&]<class M>(M& model, std::string_view) {
    if (model_detail::has_eval_step<M> && model.present()) {
      static_cast<void>(runtime::onload(model, runtime::Part::weights));
    }
  });
}

}  // namespace rlhf::inline v0::engine::detail
