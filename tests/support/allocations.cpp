#include "support/allocations.hpp"

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#  define TESTS_COUNT_ALLOCATIONS 0
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
      __has_feature(memory_sanitizer)
#    define TESTS_COUNT_ALLOCATIONS 0
#  endif
#endif
#ifndef TESTS_COUNT_ALLOCATIONS
#  define TESTS_COUNT_ALLOCATIONS 1
#endif

namespace {
thread_local std::int64_t count = 0;
}  // namespace

std::int64_t allocations() noexcept {
  return count;
}

bool allocations_are_counted() noexcept {
  return TESTS_COUNT_ALLOCATIONS != 0;
}

#if TESTS_COUNT_ALLOCATIONS
// Not inlined: g++ would take the pair of malloc and free for a mistake.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++count;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) {
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, std::nothrow_t const&) noexcept {
  ++count;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

TEST_CASE("allocations of containers and single objects are counted") {
  std::int64_t const before = allocations();
  std::vector<int> numbers(static_cast<std::size_t>(before % 2 + 3));
  std::string text(100, 'x');
  auto number = std::make_unique<int>(3);
  numbers[0] = *number + static_cast<int>(text.size());
  CHECK(allocations() - before == 3);
  CHECK(numbers[0] == 103);
}
#endif
