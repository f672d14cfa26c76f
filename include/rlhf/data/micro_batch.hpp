/// @file
/// Micro-batches by a number of samples or by a budget of tokens. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/detail/first_fit.hpp>
#include <rlhf/data/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// What becomes of a last micro-batch that lacks samples.
enum class LastBatch : std::uint8_t {
  cut,     ///< It is smaller.
  filled,  ///< It is filled up with the first samples again, as the Python reference does.
};

/// Groups of `size` samples in their order: row g holds the numbers of the samples of group g.
///
/// Errors: invalid_argument for samples < 0 or size < 1.
[[nodiscard]] inline Rows<std::int64_t> micro_batches_by_count(std::int64_t samples,
                                                               std::int64_t size,
                                                               LastBatch last = LastBatch::cut) {
  expects(samples >= 0 && size >= 1, "micro-batches are made of 0 or more samples, 1 or more each");
  Rows<std::int64_t> groups;
  std::vector<std::int64_t> group;
  for (std::int64_t begin = 0; begin < samples; begin += size) {
    group.clear();
    std::int64_t const left = samples - begin;
    std::int64_t const count = last == LastBatch::cut && left < size ? left : size;
    for (std::int64_t i = 0; i < count; ++i) {
      group.push_back(i < left ? begin + i : (begin + i) % samples);
    }
    groups.push_back(group);
  }
  return groups;
}

/// Sorts groups by the length of their first sample, shortest first, inside windows of `window`
/// groups; a last, smaller window stays as it is. What the reference does with micro-batches of one
/// training step, so that those of similar length follow each other.
///
/// Errors: invalid_argument for window < 1, an empty group, or a sample without a length.
[[nodiscard]] inline Rows<std::int64_t> sort_windows(Rows<std::int64_t> const& groups,
                                                     std::span<std::int64_t const> lengths,
                                                     std::int64_t window) {
  expects(window >= 1, "a window needs at least one micro-batch");
  auto const length_of = [&](std::int64_t group) {
    std::span<std::int64_t const> const samples = groups[group];
    expects(!samples.empty() && samples[0] >= 0 &&
                samples[0] < static_cast<std::int64_t>(lengths.size()),
            "sorting by length needs groups of samples that have lengths");
    return lengths[static_cast<std::size_t>(samples[0])];
  };
  Rows<std::int64_t> out;
  std::vector<std::int64_t> order;
  for (std::int64_t begin = 0; begin < groups.size(); begin += window) {
    std::int64_t const end = begin + window < groups.size() ? begin + window : groups.size();
    order.clear();
    for (std::int64_t group = begin; group < end; ++group) {
      order.push_back(group);
    }
    if (end - begin == window) {
      rlhf::detail::sort_by(
          order, [&](std::int64_t a, std::int64_t b) { return length_of(a) < length_of(b); });
    }
    for (std::int64_t const group : order) {
      out.push_back(groups[group]);
    }
  }
  return out;
}

/// What a micro-batch of samples costs of its budget.
enum class TokenCost : std::uint8_t {
  sum,     ///< The sum of the lengths: sequences are packed one after the other.
  padded,  ///< Samples times the longest of them: sequences are padded to one width.
};

/// Which samples share a micro-batch.
enum class Grouping : std::uint8_t {
  in_order,   ///< Neighbours, so that the order of samples stays.
  by_length,  ///< Whatever fits best: fewer micro-batches. The costliest come first.
};

struct TokenBudget {
  std::int64_t tokens = 0;  ///< Most that a micro-batch may cost.
  TokenCost cost = TokenCost::sum;
  Grouping grouping = Grouping::by_length;
  std::int64_t at_least = 0;  ///< Micro-batches to make: the most that any rank needs, so that all
                              ///< ranks call their collectives equally often.
};

/// What samples cost together. Of none: 0.
[[nodiscard]] inline std::int64_t cost_of(std::span<std::int64_t const> lengths,
                                          std::span<std::int64_t const> group,
                                          TokenCost cost) noexcept {
  std::int64_t sum = 0;
  std::int64_t longest = 0;
  for (std::int64_t const sample : group) {
    std::int64_t const length = lengths[static_cast<std::size_t>(sample)];
    sum += length;
    longest = length > longest ? length : longest;
  }
  return cost == TokenCost::sum ? sum : longest * static_cast<std::int64_t>(group.size());
}

namespace detail {

/// Groups of neighbours in an order, each as long as the budget allows.
[[nodiscard]] inline std::vector<std::int64_t> next_fit(std::span<std::int64_t const> lengths,
                                                        std::vector<std::int64_t> const& order,
                                                        TokenBudget const& budget,
                                                        std::int64_t& groups) {
  std::vector<std::int64_t> group_of(lengths.size(), 0);
  std::int64_t count = 0;
  std::int64_t sum = 0;
  std::int64_t longest = 0;
  groups = order.empty() ? 0 : 1;
  for (std::int64_t const sample : order) {
    std::int64_t const length = lengths[static_cast<std::size_t>(sample)];
    std::int64_t const widest = length > longest ? length : longest;
    bool const fits = budget.cost == TokenCost::sum
                          ? sum <= budget.tokens - length
                          : widest == 0 || count + 1 <= budget.tokens / widest;
    if (!fits) {
      ++groups;
      count = 0;
      sum = 0;
      longest = 0;
    }
    ++count;
    sum += length;
    longest = length > longest ? length : longest;
    group_of[static_cast<std::size_t>(sample)] = groups - 1;
  }
  return group_of;
}

/// Halves the costliest group of more than one sample; false when there is none.
inline bool halve_costliest(std::span<std::int64_t const> lengths, TokenCost cost,
                            std::vector<std::vector<std::int64_t>>& groups) {
  std::size_t costliest = groups.size();
  std::int64_t most = -1;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    std::int64_t const own = cost_of(lengths, groups[g], cost);
    if (groups[g].size() > 1 && own > most) {
      costliest = g;
      most = own;
    }
  }
  if (costliest == groups.size()) {
    return false;
  }
  std::vector<std::int64_t>& whole = groups[costliest];
  std::vector<std::int64_t> half;
  for (std::size_t i = whole.size() / 2; i < whole.size(); ++i) {
    half.push_back(whole[i]);
  }
  whole.resize(whole.size() / 2);
  groups.insert(groups.begin() + static_cast<std::ptrdiff_t>(costliest) + 1, std::move(half));
  return true;
}

}  // namespace detail

/// Groups samples so that each group costs at most the budget: row g holds the numbers of the
/// samples of group g, in rising order. Every sample is in exactly one group.
///
/// by_length: by sum, first fit, the longest first, at most 11/9 of the fewest groups and one; by
/// padded size, neighbours in the order of lengths. A function of the arguments alone. Where fewer
/// than `at_least` come out, costly groups are halved, and then empty ones added.
/// Cost: n log n; where groups are halved, each time a pass over all samples. Errors:
/// invalid_argument, naming the sample, for one longer than the budget or a length below 0.
[[nodiscard]] inline Rows<std::int64_t> micro_batches_by_tokens(
    std::span<std::int64_t const> lengths, TokenBudget const& budget) {
  expects(budget.tokens > 0, "TokenBudget::tokens must be 1 or more");
  expects(budget.at_least >= 0, "TokenBudget::at_least must be 0 or more");
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 0 || lengths[i] > budget.tokens) {
      fail(Errc::invalid_argument,
           text("sample ", i, " has ", lengths[i], " tokens, a micro-batch may have 0 to ",
                budget.tokens, "; cut the sample, or choose a larger budget"));
    }
  }
  bool const in_order = budget.grouping == Grouping::in_order;
  std::vector<std::int64_t> order;
  if (in_order) {
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      order.push_back(static_cast<std::int64_t>(i));
    }
  } else {
    order = detail::largest_first(lengths);
  }
  std::int64_t count = 0;
  std::vector<std::int64_t> const group_of =
      in_order || budget.cost == TokenCost::padded
          ? detail::next_fit(lengths, order, budget, count)
          : detail::first_fit(lengths, order, budget.tokens, count);
  Rows<std::int64_t> groups = detail::groups_of(group_of, count);
  if (count >= budget.at_least) {
    return groups;
  }
  std::vector<std::vector<std::int64_t>> lists;
  for (std::int64_t g = 0; g < count; ++g) {
    lists.emplace_back(groups[g].begin(), groups[g].end());
  }
  while (static_cast<std::int64_t>(lists.size()) < budget.at_least &&
         detail::halve_costliest(lengths, budget.cost, lists)) {
  }
  lists.resize(static_cast<std::size_t>(budget.at_least));
  groups.clear();
  for (std::vector<std::int64_t> const& list : lists) {
    groups.push_back(list);
  }
  return groups;
}

}  // namespace rlhf::inline v0::data
