// SHA-256, for recorded digests of long lists.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

namespace replay {

/// The digest in hexadecimal. Source: FIPS 180-4.
inline std::string sha256(std::string message) {
  auto const root_bits = [](int n, double power) {
    double const root = std::pow(static_cast<double>(n), power);
    return static_cast<std::uint32_t>((root - std::floor(root)) * 4294967296.0);
  };
  std::array<std::uint32_t, 64> k{};
  std::array<std::uint32_t, 8> h{};
  for (int n = 2, found = 0; found < 64; ++n) {
    bool prime = true;
    for (int d = 2; d * d <= n; ++d) {
      prime = prime && n % d != 0;
    }
    if (prime) {
      if (found < 8) {
        h[static_cast<std::size_t>(found)] = root_bits(n, 1.0 / 2);
      }
      k[static_cast<std::size_t>(found++)] = root_bits(n, 1.0 / 3);
    }
  }
  std::uint64_t const bits = std::uint64_t{8} * message.size();
  message += '\x80';
  while (message.size() % 64 != 56) {
    message += '\0';
  }
  for (int shift = 56; shift >= 0; shift -= 8) {
    message += static_cast<char>((bits >> shift) & 255);
  }
  auto const rotate = [](std::uint32_t x, int n) { return (x >> n) | (x << (32 - n)); };
  for (std::size_t block = 0; block < message.size(); block += 64) {
    std::array<std::uint32_t, 64> w{};
    for (std::size_t i = 0; i < 64; ++i) {
      if (i < 16) {
        for (std::size_t b = 0; b < 4; ++b) {
          w[i] = (w[i] << 8) | static_cast<unsigned char>(message[block + 4 * i + b]);
        }
      } else {
        std::uint32_t const a = w[i - 15];
        std::uint32_t const e = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ (a >> 3)) +
               (rotate(e, 17) ^ rotate(e, 19) ^ (e >> 10));
      }
    }
    std::array<std::uint32_t, 8> s = h;
    for (std::size_t i = 0; i < 64; ++i) {
      std::uint32_t const t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
                               ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
      std::uint32_t const t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
                               ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      s = {t1 + t2, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
    }
    for (std::size_t i = 0; i < 8; ++i) {
      h[i] += s[i];
    }
  }
  std::string out;
  for (std::uint32_t const word : h) {
    for (int shift = 28; shift >= 0; shift -= 4) {
      out += "0123456789abcdef"[(word >> shift) & 15];
    }
  }
  return out;
}

}  // namespace replay
