/// @file
/// Finds numbered things by the hash of what they are. Layer: core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0::detail {

/// Open addressing from hashes to numbers of things that the caller keeps in a list.
///
/// Cost: one probe or two a call; 16 bytes a thing at most half full.
template <class = void>
class HashIndex {
 public:
  /// The number of the thing with this hash for which `same(number)` holds, or -1.
  template <class Same>
  [[nodiscard]] int find(std::uint64_t hash, Same&& same) const {
    if (slots_.empty()) {
      return -1;
    }
    for (std::size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      Slot const& slot = slots_[at];
      if (slot.number < 0) {
        return -1;
      }
      if (slot.hash == hash && same(slot.number)) {
        return slot.number;
      }
    }
  }
  /// Adds a thing that `find` does not find.
  void add(std::uint64_t hash, int number) {
    if (2 * (count_ + 1) > slots_.size()) {
      std::vector<Slot> old(slots_.empty() ? 16 : 2 * slots_.size());
      old.swap(slots_);
      for (Slot const& slot : old) {
        if (slot.number >= 0) {
          put(slot);
        }
      }
    }
    put(Slot{hash, number});
    ++count_;
  }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    int number = -1;
  };
  void put(Slot const& slot) {
    std::size_t at = slot.hash & (slots_.size() - 1);
    while (slots_[at].number >= 0) {
      at = (at + 1) & (slots_.size() - 1);
    }
    slots_[at] = slot;
  }

  std::vector<Slot> slots_;
  std::size_t count_ = 0;
};

}  // namespace rlhf::inline v0::detail
