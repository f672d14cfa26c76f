// The least that batches are loaded from and made of.
#pragma once

#include <rlhf/data/draws.hpp>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace archetype {

struct Item {
  explicit Item(std::int64_t number) : value(number) {}
  Item(Item&&) = default;
  Item(Item const&) = delete;
  Item& operator=(Item const&) = delete;
  std::int64_t value;
};

/// Ten items that can be moved and nothing else.
class Dataset {
 public:
  std::int64_t size() const { return 10; }
  Item operator[](std::int64_t i) const { return Item(i * i); }
};

/// Items by dataset and number.
struct ItemSource {
  Item operator()(std::int32_t, std::int64_t index) const { return Dataset()[index]; }
};

/// One draw, then the end.
class DrawSource {
 public:
  bool next(rlhf::data::DrawnShare& share) {
    share = rlhf::data::DrawnShare{{{0, 3, 0}}, 0, 0, 1};
    return left_-- > 0;
  }

 private:
  int left_ = 1;
};

struct Collate {
  template <class Sample>
  std::int64_t operator()(std::span<Sample> samples) const {
    return samples[0].item().value;
  }
};

class ColumnBatch {
 public:
  template <class Visit>
  void columns(Visit&& visit) {
    visit(std::string_view("only"), only);
  }
  std::vector<int> only;
};

}  // namespace archetype
