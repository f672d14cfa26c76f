/// @file
/// 64-bit mixing and fingerprints, equal on every rank and compiler. Layer: core.
#pragma once

#include <rlhf/core/config.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace rlhf::inline v0 {

/// A bijection of 64-bit words in which every input bit reaches every output bit.
///
/// Source: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
[[nodiscard]] RLHF_HOST_DEVICE constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  x ^= x >> 31;
  return x;
}

/// An ordered fingerprint of a sequence of words and strings. Not cryptographic.
///
/// Cost: one multiply chain a word. Equal on every rank, run and compiler.
class Fingerprint {
 public:
  constexpr Fingerprint& add(std::uint64_t word) noexcept {
    state_ = mix64(state_ + 0x9e3779b97f4a7c15ULL + word);
    return *this;
  }
  constexpr Fingerprint& add(std::string_view bytes) noexcept {
    add(static_cast<std::uint64_t>(bytes.size()));
    std::uint64_t word = 0;
    int filled = 0;
    for (char const c : bytes) {
      word = (word << 8) | static_cast<unsigned char>(c);
      if (++filled == 8) {
        add(word);
        word = 0;
        filled = 0;
      }
    }
    return filled != 0 ? add(word) : *this;
  }
  [[nodiscard]] constexpr std::uint64_t value() const noexcept { return mix64(state_); }

 private:
  std::uint64_t state_ = 0x6a09e667f3bcc908ULL;
};

}  // namespace rlhf::inline v0
