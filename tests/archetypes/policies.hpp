// The least that a user may write for each policy: what the documentation asks for and nothing
// else.
#pragma once

#include <rlhf/data/concepts.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/plan/options.hpp>

#include <cstdint>

namespace archetype {

/// A parallel policy.
struct Spread final {
  static constexpr rlhf::Layout layout{.tensor = 2};
};

/// The same for twice as many ranks.
struct WideSpread final {
  static constexpr rlhf::Layout layout{.tensor = 2, .data = rlhf::Layout::any};
};

/// A parallel policy whose layout comes at run time.
struct LateSpread final {
  static constexpr bool layout_at_run_time = true;
};

/// A sync policy.
struct Carry final {
  static constexpr auto route = rlhf::plan::Route::point_to_point;
  static constexpr auto source_choice = rlhf::plan::SourceChoice::balanced;
  static constexpr rlhf::Bytes bucket_bytes{256};
  static constexpr int frequency = 2;
};

/// An order of a dataset: every epoch backwards.
struct Backwards {
  class Permutation {
   public:
    Permutation(std::uint64_t, std::int64_t, std::int64_t size) : last_(size - 1) {}
    std::int64_t operator[](std::int64_t position) const { return last_ - position; }

   private:
    std::int64_t last_;
  };
};

/// A data policy.
struct Draws final {
  using Order = Backwards;
  static constexpr int dataset_count = 2;
  static constexpr std::int64_t ratio(int dataset) { return dataset == 0 ? 2 : 1; }
  static constexpr auto exhausted = rlhf::data::Exhausted::cycle;
};

/// A data policy of weights.
struct DrawsByWeight final {
  using Order = Backwards;
  static constexpr int dataset_count = 2;
  static constexpr double weight(int dataset) { return dataset == 0 ? 0.8 : 0.2; }
  static constexpr auto exhausted = rlhf::data::Exhausted::cycle;
};

/// A dataset.
struct Prompts {
  std::int64_t size() const { return 3; }
  char operator[](std::int64_t index) const { return "abc"[index]; }
};

}  // namespace archetype
