/// @file
/// Lists without repeats, and fingerprints of what goes into them. Layer: plan, private.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/tensor/box.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan::detail {

template <class T = void>
void add(Fingerprint& print, Extents const& extents) {
  print.add(static_cast<std::uint64_t>(extents.rank()));
  for (int d = 0; d < extents.rank(); ++d) {
    print.add(static_cast<std::uint64_t>(extents[d]));
  }
}
template <class T = void>
void add(Fingerprint& print, Box const& box) {
  add(print, box.start);
  add(print, box.extent);
}
/// A list of plain numbers: ranks, kinds.
template <class T = void>
void add(Fingerprint& print, rlhf::detail::late_vector<int, T> const& numbers) {
  print.add(static_cast<std::uint64_t>(numbers.size()));
  for (int const number : numbers) {
    print.add(static_cast<std::uint64_t>(number));
  }
}

/// Lists without repeats: `add` gives the number of an equal one that is there already.
template <class Item>
class Distinct {
 public:
  explicit Distinct(std::vector<Item>& items) : items_(&items) {}

  template <class Print>
  std::int32_t add(Item item, Print&& print_of) {
    Fingerprint print;
    print_of(print, item);
    std::uint64_t const hash = print.value();
    int found = index_.find(hash, [&, this](int number) {
      return (*items_)[static_cast<std::size_t>(number)] == item;
    });
    if (found < 0) {
      found = static_cast<int>(items_->size());
      items_->push_back(std::move(item));
      index_.add(hash, found);
    }
    return found;
  }

 private:
  std::vector<Item>* items_;
  rlhf::detail::HashIndex<rlhf::detail::late<void, Item>> index_;
};

}  // namespace rlhf::inline v0::plan::detail
