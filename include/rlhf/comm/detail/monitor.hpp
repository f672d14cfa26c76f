/// @file
/// The monitor of the groups of `comm::Local`. Layer: comm, private.
#pragma once

#include <rlhf/core/monitor.hpp>

namespace rlhf::inline v0::comm::detail {

using rlhf::Hold;
using rlhf::Monitor;

}  // namespace rlhf::inline v0::comm::detail
