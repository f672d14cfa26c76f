/// @file
/// Constants of the archive format, and an index of names. Layer: checkpoint, private.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/hash.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::checkpoint::detail {

// With a plain 8 g++ would also try the constructor from two iterators, for 7 ms.
inline constexpr std::string_view archive_magic{"rlhfarc\0", std::size_t{8}};
inline constexpr std::uint32_t archive_version = 1;
inline constexpr std::size_t archive_alignment = 64;

/// Finds names by hash: open addressing over indices into a list that the caller keeps.
template <class Late>
class NameIndex {
 public:
  /// The index under which the name was added, or -1. `name_at(i)` is the name of index i.
  template <class NameAt>
  [[nodiscard]] std::int64_t find(std::string_view name, NameAt&& name_at) const {
    for (std::size_t at = hash(name); !slots_.empty(); ++at) {
      std::int64_t const index = slots_[at % slots_.size()] - 1;
      if (index < 0 || name_at(index) == name) {
        return index;
      }
    }
    return -1;
  }
  /// Adds index `count()`. False, and nothing is added, if the name is there already.
  template <class NameAt>
  [[nodiscard]] bool add(std::string_view name, NameAt&& name_at) {
    if (find(name, name_at) >= 0) {
      return false;
    }
    if (2 * (count_ + 1) > static_cast<std::int64_t>(slots_.size())) {
      slots_.assign(slots_.empty() ? 16 : 2 * slots_.size(), 0);
      for (std::int64_t i = 0; i < count_; ++i) {
        put(name_at(i), i);
      }
    }
    put(name, count_++);
    return true;
  }

 private:
  [[nodiscard]] static std::size_t hash(std::string_view name) noexcept {
    return static_cast<std::size_t>(Fingerprint().add(name).value() >> 1);
  }
  void put(std::string_view name, std::int64_t index) noexcept {
    std::size_t at = hash(name) % slots_.size();
    while (slots_[at] != 0) {
      at = (at + 1) % slots_.size();
    }
    slots_[at] = index + 1;
  }

  std::vector<rlhf::detail::late<std::int64_t, Late>> slots_;  // index + 1, or 0 for none
  std::int64_t count_ = 0;
};

}  // namespace rlhf::inline v0::checkpoint::detail
