// Counts the allocations of a test program. Part of rlhf_test_main, so that every program of the
// tests has it.
#pragma once

#include <cstdint>

/// Allocations by `operator new` that the calling thread has made so far. Always 0 where they are
/// not counted.
[[nodiscard]] std::int64_t allocations() noexcept;

/// False under sanitizers: they bring an `operator new` of their own, and clang's cannot be
/// replaced a second time.
[[nodiscard]] bool allocations_are_counted() noexcept;
