/// @file
/// The stock parallel policies. Layer: parallel.
#pragma once

#include <rlhf/parallel/layout.hpp>

namespace rlhf::inline v0 {

/// A layout known when the program is compiled: `Grid<Layout{.tensor = 2, .data = 2}>`.
///
/// Write the type's name before the braces; clang 14 and nvcc need it. Give the number of ranks,
/// too, where it is known: a layout that does not fit it is then refused by the compiler.
template <Layout L = Layout{}, int Ranks = 0>
struct Grid final {
  static constexpr Layout layout = L;
  static constexpr int ranks = Ranks;  ///< 0: known when the program runs.
};

/// A layout known when the program runs, from a file or the command line. The module's constructor
/// takes it; everything else goes through the same code.
struct RuntimeGrid final {
  static constexpr bool layout_at_run_time = true;
};

}  // namespace rlhf::inline v0
