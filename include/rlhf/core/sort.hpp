/// @file
/// Sorting and searching of vectors, without the cost of <algorithm>. Layer: core.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace rlhf::inline v0::detail {

/// Sorts by `before(a, b)`, which says whether a must come before b; equal elements keep their
/// order.
///
/// Cost: n log2 n comparisons, a second vector of the same size.
template <class T, class Before>
void sort_by(std::vector<T>& items, Before&& before) {
  std::size_t const size = items.size();
  std::vector<T> merged;
  for (std::size_t width = 1; width < size; width *= 2) {
    merged.clear();
    merged.reserve(size);
    for (std::size_t begin = 0; begin < size; begin += 2 * width) {
      std::size_t const middle = begin + width < size ? begin + width : size;
      std::size_t const end = middle + width < size ? middle + width : size;
      std::size_t left = begin;
      std::size_t right = middle;
      while (left < middle || right < end) {
        bool const from_right =
            left == middle || (right < end && before(items[right], items[left]));
        merged.push_back(std::move(items[from_right ? right++ : left++]));
      }
    }
    items.swap(merged);
  }
}

/// Sorts in rising order.
template <class T>
void sort(std::vector<T>& items) {
  sort_by(items, [](T const& a, T const& b) { return a < b; });
}

/// The first place in a sorted list whose element is not `below`; the size where all are.
template <class T, class Below>
[[nodiscard]] std::size_t first_not(std::vector<T> const& items, Below&& below) {
  std::size_t first = 0;
  std::size_t last = items.size();
  while (first < last) {
    std::size_t const middle = first + (last - first) / 2;
    if (below(items[middle])) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

/// Whether a list has an element.
template <class T>
[[nodiscard]] bool contains(std::vector<T> const& items, T const& wanted) {
  for (T const& item : items) {
    if (item == wanted) {
      return true;
    }
  }
  return false;
}

}  // namespace rlhf::inline v0::detail
