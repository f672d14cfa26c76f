#include <rlhf/checkpoint/checksum.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include <doctest/doctest.h>

using rlhf::checkpoint::checksum;

namespace {
std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(i * 131 + i / 251);
  }
  return bytes;
}
}  // namespace

TEST_CASE("files hold checksums, so they never change") {
  CHECK(checksum({}) == 0x6d1ba6c8254bec69ULL);
  CHECK(checksum(pattern(1)) == 0xb5d6fecbdef0c39fULL);
  CHECK(checksum(pattern(1000)) == 0x8357666589280196ULL);
}

TEST_CASE("every flipped bit, and zeros at the end, change the checksum") {
  for (std::size_t const size : {1U, 7U, 8U, 63U, 64U, 65U, 200U}) {
    std::vector<std::byte> bytes = pattern(size);
    std::set<std::uint64_t> seen{checksum(bytes)};
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
      bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      seen.insert(checksum(bytes));
      bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    }
    CHECK(seen.size() == 8 * size + 1);
  }
  std::set<std::uint64_t> of_zeros;
  for (std::size_t size = 0; size < 300; ++size) {
    of_zeros.insert(checksum(std::vector<std::byte>(size)));
  }
  CHECK(of_zeros.size() == 300);
}

TEST_CASE("the place of a block matters") {
  std::vector<std::byte> bytes = pattern(256);
  std::uint64_t const straight = checksum(bytes);
  for (std::size_t i = 0; i < 64; ++i) {
    std::swap(bytes[i], bytes[64 + i]);
  }
  CHECK(checksum(bytes) != straight);
}
