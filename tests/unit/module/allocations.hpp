// Counts the allocations of this program (allocations_test.cpp replaces operator new).
#pragma once

#include <cstdint>

/// Allocations that the calling thread has made so far.
[[nodiscard]] std::int64_t allocations() noexcept;
