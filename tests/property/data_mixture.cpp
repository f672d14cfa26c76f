// Laws of mixtures by real weights: never a whole item from the weights, and one sequence wherever
// one begins.
#include <rlhf/data/interleave.hpp>
#include <rlhf/data/quota.hpp>
#include <rlhf/data/shares.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"

namespace data = rlhf::data;
using Shares = std::vector<std::int64_t>;

namespace {

__extension__ using Wide = __int128;

/// Weights of very different kinds: equal, round, of any size, 0, and one large beside many small.
std::vector<double> any_weights(cases::Dice& dice, int most_datasets) {
  std::vector<double> weights(static_cast<std::size_t>(dice.between(1, most_datasets)));
  int const kind = dice.between(0, 4);
  for (double& weight : weights) {
    weight = kind == 0   ? 1.0
             : kind == 1 ? static_cast<double>(dice.between(0, 6))
             : kind == 2 ? static_cast<double>(dice.between(1, 1'000'000)) / 999'983.0
             : kind == 3 ? std::exp(-static_cast<double>(dice.between(0, 700)) / 100)
                         : 0.1 / static_cast<double>(weights.size());
  }
  weights[static_cast<std::size_t>(dice.between(0, static_cast<int>(weights.size()) - 1))] += 0.9;
  return weights;
}

/// Whether |counted - share * n| < 1 for each dataset.
bool within_one(std::vector<std::int64_t> const& counted, Shares const& shares, std::int64_t n) {
  for (std::size_t d = 0; d < shares.size(); ++d) {
    Wide const off =
        static_cast<Wide>(counted[d]) * data::whole_share - static_cast<Wide>(shares[d]) * n;
    if (off >= data::whole_share || off <= -data::whole_share) {
      return false;
    }
  }
  return true;
}

std::vector<std::int64_t> taken(data::Quota const& quota, std::size_t datasets) {
  std::vector<std::int64_t> out;
  for (std::size_t d = 0; d < datasets; ++d) {
    out.push_back(quota.taken(d));
  }
  return out;
}

}  // namespace

TEST_CASE("any prefix of n prompts has weight * n of each dataset, less than one more or less") {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    cases::Dice dice(seed);
    Shares const shares = data::shares_of<void>(any_weights(dice, 20));
    CHECK(std::accumulate(shares.begin(), shares.end(), std::int64_t{0}) == data::whole_share);
    data::Quota quota(shares);
    std::vector<std::int64_t> counted(shares.size(), 0);
    std::int64_t n = 0;
    bool right = true;
    quota.walk(std::min<std::int64_t>(3 * quota.block() + 17, 9000),
               [&](std::size_t dataset, std::int64_t count) {
                 for (; count > 0; --count) {
                   ++counted[dataset];
                   right = right && within_one(counted, shares, ++n);
                 }
               });
    CHECK(right);
    CHECK(taken(quota, shares.size()) == counted);
    CHECK(quota.position() == n);
  }
}

TEST_CASE("a mixture that begins anywhere is the one that came from the start") {
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    CAPTURE(seed);
    cases::Dice dice(seed);
    Shares const shares = data::shares_of<void>(any_weights(dice, 8));
    std::vector<std::size_t> sequence;
    auto const append = [](std::vector<std::size_t>& to) {
      return [&to](std::size_t dataset, std::int64_t count) {
        to.insert(to.end(), static_cast<std::size_t>(count), dataset);
      };
    };
    data::Quota quota(shares);
    std::int64_t const length = std::min<std::int64_t>(2 * quota.block() + 40, 3000);
    quota.walk(length + 20, append(sequence));
    data::Quota wandering(shares);
    for (std::int64_t begin = 0; begin < length; begin += dice.between(1, 9)) {
      data::Quota fresh(shares);
      std::int64_t const goal = dice.one_in(3) ? length - begin : begin;  // back and forth, too
      for (data::Quota* one : {&fresh, &wandering}) {
        one->seek(goal);
        std::vector<std::size_t> drawn;
        one->walk(20, append(drawn));
        CHECK(std::equal(drawn.begin(), drawn.end(),
                         sequence.begin() + static_cast<std::ptrdiff_t>(goal)));
      }
    }
  }
}

TEST_CASE("far out, up to 2^60 prompts, the bound holds and steps lead from place to place") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    cases::Dice dice(seed);
    Shares const shares = data::shares_of<void>(any_weights(dice, 12));
    std::int64_t const far = static_cast<std::int64_t>(dice.word() >> dice.between(4, 40)) / 2;
    data::Quota quota(shares);
    quota.seek(far);
    std::vector<std::int64_t> counted = taken(quota, shares.size());
    CHECK(std::accumulate(counted.begin(), counted.end(), std::int64_t{0}) == far);
    CHECK(within_one(counted, shares, far));
    std::int64_t n = far;
    bool right = true;
    quota.walk(300, [&](std::size_t dataset, std::int64_t count) {
      counted[dataset] += count;
      n += count;
      right = right && within_one(counted, shares, n);
    });
    CHECK(right);
    data::Quota there(shares);
    there.seek(n);
    CHECK(taken(there, shares.size()) == counted);
  }
}

TEST_CASE("every stage of a schedule keeps its own weights, and any place can be the first") {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    CAPTURE(seed);
    cases::Dice dice(seed);
    std::size_t const datasets = static_cast<std::size_t>(dice.between(2, 6));
    std::vector<data::ShareStage> stages;
    std::int64_t begin = 0;
    for (int s = dice.between(1, 6); s > 0; --s) {
      std::vector<double> weights = any_weights(dice, 1);
      while (weights.size() < datasets) {
        weights.push_back(static_cast<double>(dice.between(0, 4)));
      }
      stages.push_back({begin, data::shares_of<void>(weights)});
      begin += dice.one_in(3) ? 1 : dice.between(1, 400);
    }
    std::int64_t const length = begin + 100;
    data::Interleave straight(stages);
    std::vector<std::size_t> sequence;
    while (static_cast<std::int64_t>(sequence.size()) < length) {
      straight.walk(dice.between(1, 50), [&](std::size_t dataset, std::int64_t count) {
        sequence.insert(sequence.end(), static_cast<std::size_t>(count), dataset);
      });
    }
    std::vector<std::int64_t> counted(datasets, 0);
    std::vector<std::int64_t> in_stage(datasets, 0);
    std::size_t stage = 0;
    data::Interleave wandering(stages);
    for (std::int64_t n = 0; n < length; ++n) {
      if (stage + 1 < stages.size() && n == stages[stage + 1].begin) {
        ++stage;
        in_stage.assign(datasets, 0);
      }
      CHECK(within_one(in_stage, stages[stage].shares, n - stages[stage].begin));
      if (dice.one_in(10)) {
        wandering.seek(n);
        std::vector<std::int64_t> there;
        for (std::size_t d = 0; d < datasets; ++d) {
          there.push_back(wandering.taken(d));
        }
        CHECK(there == counted);
        wandering.walk(1, [&](std::size_t dataset, std::int64_t) {
          CHECK(dataset == sequence[static_cast<std::size_t>(n)]);
        });
      }
      ++counted[sequence[static_cast<std::size_t>(n)]];
      ++in_stage[sequence[static_cast<std::size_t>(n)]];
    }
  }
}

TEST_CASE("shares read back from their text, and nothing else does") {
  cases::Dice dice(9);
  for (int i = 0; i < 3000; ++i) {
    std::int64_t share = static_cast<std::int64_t>(dice.word() >> dice.between(5, 60));
    share = share > data::whole_share ? data::whole_share : share;
    for (int zeros = dice.between(0, 17); zeros > 0 && dice.one_in(2); --zeros) {
      share = share / 10 * 10;
    }
    std::int64_t read = -1;
    std::string const text = data::share_text(share);
    CHECK(data::parse_share(text, read));
    CHECK(read == share);
    std::string changed = text;
    changed[static_cast<std::size_t>(dice.between(0, static_cast<int>(text.size()) - 1))] =
        "0123456789.- e"[dice.between(0, 13)];
    if (data::parse_share(changed, read)) {
      CHECK(data::share_text(read) == changed);
    }
  }
}
