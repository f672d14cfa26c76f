/// @file
/// Samples over ranks so that all have about the same work. Layer: data.
///
/// Longest processing time first: the costliest sample left goes to the rank with the least. The
/// alternative, Karmarkar-Karp differencing, was measured beside it (benchmarks/results/README.md):
/// on lengths as rollouts have them its most loaded rank is better by at most a few thousandths and
/// it takes 1.4 to 8 times as long; with equal numbers of samples a rank it is quicker, but far
/// worse, because it may no longer move single samples.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/data/detail/first_fit.hpp>
#include <rlhf/data/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// How many samples a rank gets.
enum class PartSizes : std::uint8_t {
  any,    ///< As many as balance the work.
  equal,  ///< All the same number, or one more where it does not divide.
};

/// The sum of the costs of each part.
[[nodiscard]] inline std::vector<std::int64_t> loads_of(std::span<std::int64_t const> costs,
                                                        Rows<std::int64_t> const& parts) {
  std::vector<std::int64_t> loads;
  for (std::int64_t part = 0; part < parts.size(); ++part) {
    std::int64_t load = 0;
    for (std::int64_t const sample : parts[part]) {
      load += costs[static_cast<std::size_t>(sample)];
    }
    loads.push_back(load);
  }
  return loads;
}

namespace detail {

/// Parts by load, the least first, then by number: a binary heap.
class LeastLoaded {
 public:
  explicit LeastLoaded(std::int64_t parts) {
    for (std::int64_t part = 0; part < parts; ++part) {
      heap_.push_back({0, part});
    }
  }
  [[nodiscard]] std::int64_t part() const noexcept { return heap_.front().part; }
  void add(std::int64_t cost) noexcept {
    heap_.front().load += cost;
    sink();
  }
  void remove() noexcept {
    heap_.front() = heap_.back();
    heap_.pop_back();
    sink();
  }

 private:
  struct Entry {
    std::int64_t load;
    std::int64_t part;
    [[nodiscard]] bool before(Entry const& other) const noexcept {
      return load != other.load ? load < other.load : part < other.part;
    }
  };
  void sink() noexcept {
    std::size_t at = 0;
    while (2 * at + 1 < heap_.size()) {
      std::size_t child = 2 * at + 1;
      if (child + 1 < heap_.size() && heap_[child + 1].before(heap_[child])) {
        ++child;
      }
      if (!heap_[child].before(heap_[at])) {
        return;
      }
      std::swap(heap_[at], heap_[child]);
      at = child;
    }
  }
  std::vector<Entry> heap_;
};

/// The costliest first to the part with the least work among those with room.
[[nodiscard]] inline std::vector<std::int64_t> longest_first(std::span<std::int64_t const> costs,
                                                             std::vector<std::int64_t> const& order,
                                                             std::int64_t parts, PartSizes sizes) {
  std::int64_t const count = static_cast<std::int64_t>(order.size());
  std::int64_t const usual = count / parts;
  std::int64_t longer = count % parts;  // parts that may still get one more
  std::vector<std::int64_t> size(static_cast<std::size_t>(parts), 0);
  std::vector<std::int64_t> part_of(order.size(), 0);
  LeastLoaded least(parts);
  for (std::int64_t const sample : order) {
    while (sizes == PartSizes::equal &&
           size[static_cast<std::size_t>(least.part())] >= usual + (longer > 0 ? 1 : 0)) {
      least.remove();
    }
    std::int64_t const part = least.part();
    part_of[static_cast<std::size_t>(sample)] = part;
    least.add(costs[static_cast<std::size_t>(sample)]);
    if (++size[static_cast<std::size_t>(part)] > usual) {
      --longer;
    }
  }
  return part_of;
}

/// Rounds of one sample a part, in each the costliest to the part with the least work.
[[nodiscard]] inline std::vector<std::int64_t> in_rounds(std::span<std::int64_t const> costs,
                                                         std::vector<std::int64_t> const& order,
                                                         std::int64_t parts) {
  std::vector<std::int64_t> part_of(order.size(), 0);
  std::vector<std::int64_t> load(static_cast<std::size_t>(parts), 0);
  for (std::size_t begin = 0; begin < order.size(); begin += load.size()) {
    std::vector<std::int64_t> ranks;
    for (std::int64_t part = 0; part < parts; ++part) {
      ranks.push_back(part);
    }
    rlhf::detail::sort_by(ranks, [&](std::int64_t a, std::int64_t b) {
      return load[static_cast<std::size_t>(a)] < load[static_cast<std::size_t>(b)];
    });
    for (std::size_t i = 0; i < load.size() && begin + i < order.size(); ++i) {
      std::size_t const sample = static_cast<std::size_t>(order[begin + i]);
      part_of[sample] = ranks[i];
      load[static_cast<std::size_t>(ranks[i])] += costs[sample];
    }
  }
  return part_of;
}

}  // namespace detail

/// The largest load that `balance` may leave: mean + (1 - 1/parts) x the costliest sample, rounded
/// down. The least possible is at least the mean and at least the costliest sample.
[[nodiscard]] inline std::int64_t balance_bound(std::span<std::int64_t const> costs,
                                                std::int64_t parts) {
  std::int64_t sum = 0;
  std::int64_t most = 0;
  for (std::int64_t const cost : costs) {
    sum += cost;
    most = cost > most ? cost : most;
  }
  return most + (sum - most) / parts;
}

/// Deals samples of these costs (lengths, or estimates of time) to `parts` ranks: row p holds the
/// numbers of the samples of part p, in rising order. Every sample is in exactly one part.
///
/// A function of the arguments alone: every rank computes the same. No load is above
/// `balance_bound`; with PartSizes::any it is also at most 4/3 - 1/(3 parts) of the least possible
/// (Graham 1969). With equal sizes, longest first is kept to sizes; should it leave a load above
/// the bound (no such case is known, nor a proof that there is none), samples are dealt in rounds,
/// which keep it: a round leaves no larger difference of loads than there was before it or than its
/// own costs have. Cost: n log n. Errors: invalid_argument for parts < 1, a cost below 0, or a sum
/// above 2^62.
[[nodiscard]] inline Rows<std::int64_t> balance(std::span<std::int64_t const> costs,
                                                std::int64_t parts,
                                                PartSizes sizes = PartSizes::any) {
  expects(parts >= 1, "samples are balanced over one part or more");
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    if (costs[i] < 0 || costs[i] > (std::int64_t{1} << 62) - sum) {
      fail(Errc::invalid_argument, text("the cost of sample ", i, ", ", costs[i],
                                        ", is negative or makes the sum exceed 2^62"));
    }
    sum += costs[i];
  }
  std::vector<std::int64_t> const order = detail::largest_first(costs);
  Rows<std::int64_t> dealt =
      detail::groups_of(detail::longest_first(costs, order, parts, sizes), parts);
  if (sizes == PartSizes::equal) {
    std::int64_t most = 0;
    for (std::int64_t const load : loads_of(costs, dealt)) {
      most = load > most ? load : most;
    }
    if (most > balance_bound(costs, parts)) {
      dealt = detail::groups_of(detail::in_rounds(costs, order, parts), parts);
    }
  }
  return dealt;
}

}  // namespace rlhf::inline v0::data
