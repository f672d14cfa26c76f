/// @file
/// Which of the models that share a rank has its memory on the device. Layer: engine, private.
#pragma once

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

}  // namespace rlhf::inline v0::engine::detail
