/// @file
/// Vectors that cost nothing in templates nobody uses. Layer: core.
#pragma once

#include <rlhf/core/config.hpp>

#include <vector>

namespace rlhf::inline v0::detail {

/// `std::vector<X>`, which is looked at only where `Late` is known. See core/config.hpp.
template <class X, class Late>
using late_vector = std::vector<late<X, Late>>;

}  // namespace rlhf::inline v0::detail
