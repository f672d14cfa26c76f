/// @file
/// Joins values into a message without a formatting library. Layer: core.
#pragma once

#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

namespace rlhf::inline v0 {
namespace detail {

/// One value of a message: a view of text, or a number that it writes into its own room.
class TextPart {
 public:
  TextPart(std::string_view value) noexcept : view_(value) {}            // NOLINT: implicit
  TextPart(std::string const& value) noexcept : view_(value) {}          // NOLINT
  TextPart(char const* value) noexcept : view_(value) {}                 // NOLINT
  TextPart(char value) noexcept { write("%c", value); }                  // NOLINT
  TextPart(bool value) noexcept : view_(value ? "true" : "false") {}     // NOLINT
  TextPart(double value) noexcept { write("%.6g", value); }              // NOLINT
  TextPart(int value) noexcept { write("%d", value); }                   // NOLINT
  TextPart(unsigned value) noexcept { write("%u", value); }              // NOLINT
  TextPart(long value) noexcept { write("%ld", value); }                 // NOLINT
  TextPart(unsigned long value) noexcept { write("%lu", value); }        // NOLINT
  TextPart(long long value) noexcept { write("%lld", value); }           // NOLINT
  TextPart(unsigned long long value) noexcept { write("%llu", value); }  // NOLINT

  [[nodiscard]] std::string_view view() const noexcept {
    return size_ > 0 ? std::string_view(room_, static_cast<std::size_t>(size_)) : view_;
  }

 private:
  template <class Value>
  void write(char const* format, Value value) noexcept {
    size_ = std::snprintf(room_, sizeof room_, format, value);
  }

  std::string_view view_{};
  char room_[32];
  int size_ = 0;
};

inline std::string join_text(TextPart const* parts, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    out.append(parts[i].view());
  }
  return out;
}

}  // namespace detail

/// The arguments' text, one after the other: strings as they are, numbers in decimal.
///
/// Takes values, not references, so that messages of equal types share one instantiation.
/// Cost: one string. For messages and names, not for hot loops.
template <class... Values>
[[nodiscard]] std::string text(Values... values) {
  detail::TextPart const parts[] = {detail::TextPart(values)...};
  return detail::join_text(parts, sizeof...(values));
}

/// The numbers of a list as `[1, 2, 3]`; lists of more than `most` numbers end in `... (n in all)`.
template <class = void>
[[nodiscard]] std::string list_text(std::span<int const> values, std::size_t most = 16) {
  std::string out = "[";
  for (std::size_t i = 0; i < values.size() && i < most; ++i) {
    if (i != 0) {
      out += ", ";
    }
    out.append(detail::TextPart(values[i]).view());
  }
  if (values.size() > most) {
    out += text(", ... (", values.size(), " in all)");
  }
  return out + "]";
}

}  // namespace rlhf::inline v0
