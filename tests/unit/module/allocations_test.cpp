// The counter of allocations itself.
#include "allocations.hpp"

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <doctest/doctest.h>

// g++ sees through these operators and takes the pair of malloc and free for a mistake.
#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace {
thread_local std::int64_t count = 0;
}  // namespace

std::int64_t allocations() noexcept {
  return count;
}

void* operator new(std::size_t size) {
  ++count;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) {
    return memory;
  }
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::nothrow_t const&) noexcept {
  ++count;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

TEST_CASE("allocations of containers and single objects are counted") {
  std::int64_t const before = allocations();
  std::vector<int> numbers(static_cast<std::size_t>(before + 3));
  std::string text(100, 'x');
  auto number = std::make_unique<int>(3);
  numbers[0] = *number + static_cast<int>(text.size());
  CHECK(allocations() - before == 3);
  CHECK(numbers[0] == 103);
}
