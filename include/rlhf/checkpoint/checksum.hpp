/// @file
/// A fast checksum of bytes, for files. Layer: checkpoint.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/hash.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace rlhf::inline v0::checkpoint {

/// 64 bits that depend on every byte, its place and the length. Not cryptographic.
///
/// Any change inside one aligned word of 8 bytes is noticed for certain, others with probability
/// 1 - 2^-64. Files hold it, so it never changes: words are little-endian, eight interleaved lanes.
/// Cost: two multiplications for 8 bytes, eight lanes in flight.
template <class Late = void>
[[nodiscard]] std::uint64_t checksum(
    std::span<rlhf::detail::late<std::byte, Late> const> bytes) noexcept {
  constexpr std::size_t lanes = 8;
  constexpr std::size_t block = lanes * sizeof(std::uint64_t);
  std::uint64_t lane[lanes];
  for (std::size_t i = 0; i < lanes; ++i) {
    lane[i] = mix64(i + 1);
  }
  auto const add = [&lane](std::byte const* data) {
    for (std::size_t i = 0; i < lanes; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, data + i * sizeof word, sizeof word);
      // A bijection of the word. Two rounds: after one, some changes of a bit here could be made
      // good by that of one bit in the lane's next word.
      word = (lane[i] ^ word) * 0x9e3779b97f4a7c15ULL;
      word = (word ^ (word >> 32)) * 0xd6e8feb86659fd93ULL;
      lane[i] = word ^ (word >> 29);
    }
  };
  std::size_t const whole = bytes.size() / block * block;
  for (std::size_t at = 0; at < whole; at += block) {
    add(bytes.data() + at);
  }
  if (whole != bytes.size()) {
    std::byte rest[block] = {};
    std::memcpy(rest, bytes.data() + whole, bytes.size() - whole);
    add(rest);
  }
  Fingerprint all;
  all.add(static_cast<std::uint64_t>(bytes.size()));
  for (std::uint64_t const value : lane) {
    all.add(value);
  }
  return all.value();
}

}  // namespace rlhf::inline v0::checkpoint
