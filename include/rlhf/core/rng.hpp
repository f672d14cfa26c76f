/// @file
/// Counter-based random numbers: any draw of any stream at once, equal everywhere. Layer: core.
#pragma once

#include <rlhf/core/config.hpp>

#include <cstdint>

namespace rlhf::inline v0 {

/// Four random words of one counter value.
struct RandomWords {
  std::uint32_t word[4];
};

/// Philox 4x32 with 10 rounds: a pure function of (key, counter).
///
/// Cost: about 40 integer operations for 128 bits, no state.
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
[[nodiscard]] RLHF_HOST_DEVICE constexpr RandomWords philox(std::uint64_t key,
                                                            std::uint64_t counter_low,
                                                            std::uint64_t counter_high) noexcept {
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  std::uint32_t c0 = static_cast<std::uint32_t>(counter_low);
  std::uint32_t c1 = static_cast<std::uint32_t>(counter_low >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(counter_high);
  std::uint32_t c3 = static_cast<std::uint32_t>(counter_high >> 32);
  for (int round = 0; round < 10; ++round) {
    std::uint64_t const p0 = std::uint64_t{0xD2511F53U} * c0;
    std::uint64_t const p1 = std::uint64_t{0xCD9E8D57U} * c2;
    c0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(p1);
    c2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return RandomWords{{c0, c1, c2, c3}};
}

/// Random numbers addressed by position: draw `i` of stream `stream` under `seed`.
///
/// Nothing is carried from draw to draw, so ranks need no agreement and a restart no state.
/// Thread safety: values only.
class CounterRandom {
 public:
  RLHF_HOST_DEVICE constexpr CounterRandom(std::uint64_t seed, std::uint64_t stream) noexcept
      : seed_(seed),
        stream_(stream) {}

  /// 32 uniform bits.
  [[nodiscard]] RLHF_HOST_DEVICE constexpr std::uint32_t bits(std::uint64_t index) const noexcept {
    return philox(seed_, index >> 2, stream_).word[index & 3];
  }
  /// Uniform in [0, 1), a multiple of 2^-24, exact in float.
  [[nodiscard]] RLHF_HOST_DEVICE constexpr float uniform(std::uint64_t index) const noexcept {
    return static_cast<float>(bits(index) >> 8) * 0x1p-24F;
  }
  /// Uniform in [0, n) with bias below n / 2^32.
  [[nodiscard]] RLHF_HOST_DEVICE constexpr std::uint32_t below(std::uint64_t index,
                                                               std::uint32_t n) const noexcept {
    return static_cast<std::uint32_t>((std::uint64_t{bits(index)} * n) >> 32);
  }

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
};

}  // namespace rlhf::inline v0
