#pragma once
// Everything a program can include here, and what both translation units report about it.
#if __has_include(<rlhf/rlhf.hpp>)
#  include <rlhf/rlhf.hpp>
#endif
#include <rlhf/version.hpp>

// The adapters are for the host compiler: nvcc cannot compile fmt before 10.1.1.
#ifndef __CUDACC__
#  if __has_include(<rlhf/adapters/fmt.hpp>) && __has_include(<fmt/format.h>)
#    include <rlhf/adapters/fmt.hpp>
#  endif
#  if __has_include(<rlhf/adapters/json.hpp>) && __has_include(<nlohmann/json.hpp>)
#    include <rlhf/adapters/json.hpp>
#  endif
#endif

struct Report {
  int version = 0;
  int const* address = nullptr;
};

inline Report report() {
  return Report{rlhf::version_number, &rlhf::version_number};
}

Report first();
Report second();
