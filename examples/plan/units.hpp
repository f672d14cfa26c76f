/// @file
/// Bytes, seconds and lists of ranks as a person reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace planner {

/// Text of a file for a terminal: control characters, those of Unicode too, become spaces.
[[nodiscard]] inline std::string one_line(std::string words) {
  auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(words[i]); };
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (byte(i) < ' ' || byte(i) == 0x7f) {
      words[i] = ' ';
    } else if (byte(i) == 0xc2 && i + 1 < words.size() && byte(i + 1) >= 0x80 &&
               byte(i + 1) < 0xa0) {
      words[i] = ' ';
      words[i + 1] = ' ';
    }
  }
  return words;
}

/// `65.5 GB`, decimal as link speeds are.
[[nodiscard]] inline std::string bytes_text(double bytes) {
  constexpr char const* units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 6) {
    bytes /= 1000;
    ++unit;
  }
  return fmt::format("{:.3g} {}", bytes, units[unit]);
}
[[nodiscard]] inline std::string bytes_text(std::int64_t bytes) {
  return bytes_text(static_cast<double>(bytes));
}

/// Of memory, binary: `64 MiB`.
[[nodiscard]] inline std::string memory_text(std::int64_t bytes) {
  constexpr char const* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1023.5 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return value >= 99.95 || value == static_cast<double>(static_cast<std::int64_t>(value))
             ? fmt::format("{:.0f} {}", value, units[unit])
             : fmt::format("{:.3g} {}", value, units[unit]);
}

/// `12.3 ms`.
[[nodiscard]] inline std::string seconds_text(double seconds) {
  return seconds <= 0       ? "0 s"
         : seconds < 1e-3   ? fmt::format("{:.3g} us", seconds * 1e6)
         : seconds < 0.9995 ? fmt::format("{:.3g} ms", seconds * 1e3)
                            : fmt::format("{:.3g} s", seconds);
}

/// `0-15, 20`; lists of more than `most` runs end in an ellipsis.
[[nodiscard]] inline std::string ranks_text(std::vector<int> const& ranks, std::size_t most = 6) {
  std::string out;
  std::size_t runs = 0;
  for (std::size_t i = 0; i < ranks.size(); ++runs) {
    std::size_t end = i + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) {
      ++end;
    }
    if (runs == most) {
      return out + ", ...";
    }
    out += out.empty() ? "" : ", ";
    out += end - i > 2    ? fmt::format("{}-{}", ranks[i], ranks[end - 1])
           : end - i == 2 ? fmt::format("{}, {}", ranks[i], ranks[end - 1])
                          : fmt::format("{}", ranks[i]);
    i = end;
  }
  return out;
}

}  // namespace planner
