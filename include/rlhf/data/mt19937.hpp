/// @file
/// The 32-bit Mersenne Twister, without the cost of <random>. Layer: data.
#pragma once

#include <cstdint>

namespace rlhf::inline v0::data {

/// Generates the same words as `std::mt19937` and torch's CPU generator from the same seed.
///
/// For orders that must equal those of other programs; where nothing must be equal,
/// `CounterRandom` (core/rng.hpp) is smaller and has no state. 2.5 KB of state.
/// Source: Matsumoto, Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998.
class Mt19937 {
 public:
  constexpr explicit Mt19937(std::uint32_t seed) noexcept {
    state_[0] = seed;
    for (std::uint32_t i = 1; i < size; ++i) {
      state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
    }
  }

  /// The next 32 uniform bits.
  [[nodiscard]] constexpr std::uint32_t next() noexcept {
    if (position_ == size) {
      refill();
    }
    std::uint32_t word = state_[position_++];
    word ^= word >> 11;
    word ^= (word << 7) & 0x9d2c5680U;
    word ^= (word << 15) & 0xefc60000U;
    return word ^ (word >> 18);
  }

 private:
  static constexpr std::uint32_t size = 624;
  static constexpr std::uint32_t middle = 397;

  /// Bit 31 of `high` and the other bits of `low`, shifted and twisted.
  [[nodiscard]] static constexpr std::uint32_t twist(std::uint32_t high,
                                                     std::uint32_t low) noexcept {
    std::uint32_t const both = (high & 0x80000000U) | (low & 0x7fffffffU);
    return (both >> 1) ^ ((low & 1U) != 0 ? 0x9908b0dfU : 0U);
  }
  constexpr void refill() noexcept {
    for (std::uint32_t i = 0; i < size - middle; ++i) {
      state_[i] = state_[i + middle] ^ twist(state_[i], state_[i + 1]);
    }
    for (std::uint32_t i = size - middle; i < size - 1; ++i) {
      state_[i] = state_[i + middle - size] ^ twist(state_[i], state_[i + 1]);
    }
    state_[size - 1] = state_[middle - 1] ^ twist(state_[size - 1], state_[0]);
    position_ = 0;
  }

  std::uint32_t state_[size] = {};
  std::uint32_t position_ = size;
};

}  // namespace rlhf::inline v0::data
