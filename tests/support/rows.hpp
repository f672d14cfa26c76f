// Prints what a law has counted as a row for benchmarks/results, where RLHF_TEST_ROWS is set.
#pragma once

#include <rlhf/core/text.hpp>

#include <cstdio>
#include <cstdlib>

/// `print_row("\"law\":\"...\",\"pairs\":", 60)` prints one JSON object on a line of its own.
template <class... Parts>
void print_row(Parts const&... parts) {
  if (std::getenv("RLHF_TEST_ROWS") != nullptr) {
    std::printf("{%s}\n", rlhf::text(parts...).c_str());
    std::fflush(stdout);
  }
}
