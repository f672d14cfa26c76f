/// @file
/// A rank's tensors of a known family of models, as a trainer or a server has them, listed under
/// canonical names. Layer: sync.
///
///     template <class Visit>
///     void parameters(Visit&& visit) {   // a Megatron-style trainer
///       auto const find = [&](std::string_view name, rlhf::Shape const&) { return view(name); };
///       rlhf::sync::visit_family(rlhf::plan::qwen3(), sizes, rlhf::plan::FamilyStyle::trainer,
///                                side, coordinate(), find, visit);
///     }
///
/// The other side does the same with `FamilyStyle::server`, and a link between both needs no names,
/// no transposing, no reordering: fused rows, layers of other stages, experts of other ranks are
/// boxes of the same canonical tensors. What nobody lists is refused by the link.
#pragma once

#include <rlhf/parallel/layout.hpp>
#include <rlhf/plan/family.hpp>
#include <rlhf/plan/model_list.hpp>
#include <rlhf/sync/detail/family_walk.hpp>

namespace rlhf::inline v0::sync {

/// Visits the canonical parameters of the rank at `at`, in the order of the family's table: each is
/// whole, or rows of a fused tensor that `find(name, shape)` returns a view of.
///
/// `find` gets the names that the style has: of a trainer with layers and experts as the rank
/// numbers them (in rising order), of a server with global layers and experts stacked. `shape` is
/// what the tensor should be; the padding of a vocabulary may differ. A `find` that allocates makes
/// the model. It may return a `FoundTensor` with an adapter; then the factors are visited beside
/// each canonical tensor (parallel/lora.hpp). `side` gives layout, stages (even where it names
/// none), experts' tensor size and slots; its world ranks are not looked at.
///
/// Errors: as `plan::check_family`; invalid_argument naming the tensor and both shapes;
/// incompatible_policy where sizes do not divide over the layout. Cost: a few small strings a
/// tensor.
template <class T, class Find, class Visit>
void visit_family(plan::BasicFamily<T> const& family, plan::ModelSizes const& sizes,
                  plan::FamilyStyle style, plan::BasicSide<T> const& side, Coordinate const& at,
                  Find&& find, Visit&& visit) {
  detail::FamilyWalk<T, Find, Visit>(family, sizes, style, side, at, find, visit).walk();
}

}  // namespace rlhf::inline v0::sync
