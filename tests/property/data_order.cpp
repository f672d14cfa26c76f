// Laws of the keyed order: a bijection for every size, and no shape that statistics would show.
#include <rlhf/data/options.hpp>
#include <rlhf/data/order.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"

namespace data = rlhf::data;
using Permutation = data::KeyedOrder::Permutation;
using Counts = std::vector<std::int64_t>;

namespace {

/// How many standard deviations chi-square lies above its mean, where `expected[i]` of each were to
/// be counted. About normal; every seed here is fixed, so a test passes for ever or never.
double deviations(Counts const& counted, std::vector<double> const& expected, double freedom) {
  double chi = 0;
  for (std::size_t i = 0; i < counted.size(); ++i) {
    double const off = static_cast<double>(counted[i]) - expected[i];
    chi += off * off / expected[i];
  }
  return (chi - freedom) / std::sqrt(2 * freedom);
}
double deviations(Counts const& counted) {
  double const sum =
      static_cast<double>(std::accumulate(counted.begin(), counted.end(), std::int64_t{0}));
  double const size = static_cast<double>(counted.size());
  return deviations(counted, std::vector<double>(counted.size(), sum / size), size - 1);
}

}  // namespace

TEST_CASE("a keyed order is a bijection with its inverse, for every size up to 5000") {
  bool right = true;
  std::vector<std::int64_t> items;
  std::vector<std::int64_t> seen(5001, 0);
  for (std::int64_t size = 1; size <= 5000; ++size) {
    Permutation const order(static_cast<std::uint64_t>(size) * 977, size % 7, size);
    items.assign(static_cast<std::size_t>(size), -1);
    for (std::int64_t done = 0; done < size; done += Permutation::block) {
      int const now = static_cast<int>(std::min<std::int64_t>(Permutation::block, size - done));
      order.fill(done, now, items.data() + done);
    }
    for (std::int64_t position = 0; position < size; position += 1 + size / 60) {
      std::int64_t const item = order[position];
      right = right && item == items[static_cast<std::size_t>(position)] &&
              order.position_of(item) == position;
    }
    for (std::int64_t const item : items) {  // each marks its own place
      right = right && item >= 0 && item < size && seen[static_cast<std::size_t>(item)] != size;
      seen[static_cast<std::size_t>(right ? item : 0)] = size;
    }
    CAPTURE(size);
    if (!right) {
      FAIL("not a bijection, or not inverted");
    }
  }
}

TEST_CASE("larger sizes, up to 2^63 - 1: items in range, and every position is found again") {
  cases::Dice dice(4);
  int wrong = 0;
  for (int i = 0; i < 3000; ++i) {
    int const bits = dice.between(12, 63);
    std::uint64_t const top = std::uint64_t{1} << bits;
    std::int64_t size = static_cast<std::int64_t>(top - 1 - dice.word() % (top / 2));
    if (dice.one_in(4)) {  // where walking is longest, and shortest
      size = static_cast<std::int64_t>(top / 2 + dice.word() % 3) - 1;
    }
    Permutation const order(dice.word(), static_cast<std::int64_t>(dice.word() >> 1), size);
    for (int k = 0; k < 12; ++k) {
      std::int64_t const position =
          static_cast<std::int64_t>(dice.word() % static_cast<std::uint64_t>(size));
      std::int64_t const item = order[position];
      wrong += item < 0 || item >= size || order.position_of(item) != position ? 1 : 0;
      std::int64_t filled[3] = {-1, -1, -1};
      int const count = static_cast<int>(std::min<std::int64_t>(3, size - position));
      order.fill(position, count, filled);
      for (int j = 0; j < count; ++j) {
        wrong += filled[j] != order[position + j] ? 1 : 0;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("of few items, all orders are equally likely") {
  for (int size = 2; size <= 6; ++size) {
    CAPTURE(size);
    std::vector<int> sorted(static_cast<std::size_t>(size));
    std::iota(sorted.begin(), sorted.end(), 0);
    std::map<std::vector<int>, std::int64_t> counted;
    do {
      counted[sorted] = 0;
    } while (std::next_permutation(sorted.begin(), sorted.end()));
    std::uint64_t const keys = 100 * counted.size();
    std::vector<int> items(static_cast<std::size_t>(size));
    for (std::uint64_t key = 0; key < keys; ++key) {
      Permutation const order(key, 5, size);
      for (int i = 0; i < size; ++i) {
        items[static_cast<std::size_t>(i)] = static_cast<int>(order[i]);
      }
      ++counted[items];
    }
    Counts counts;
    for (auto const& [permutation, count] : counted) {
      counts.push_back(count);
    }
    CHECK(std::abs(deviations(counts)) < 4);
  }
}

TEST_CASE("over keys, every position takes every item equally often, and so do distances") {
  for (std::int64_t const size :
       {7, 8, 12, 16, 33, 64, 100, 256, 512, 513, 1000, 1024, 3000, 4096}) {
    CAPTURE(size);
    std::int64_t const cells = std::min<std::int64_t>(size, 16);
    std::int64_t const keys = 12'000 / size * size;  // every place as often
    std::vector<double> width(static_cast<std::size_t>(cells), 0);
    for (std::int64_t i = 0; i < size; ++i) {
      ++width[static_cast<std::size_t>(i * cells / size)];
    }
    Counts cell(static_cast<std::size_t>(cells * cells), 0);
    std::int64_t const bins = std::min<std::int64_t>(size - 1, 12);
    std::vector<double> bin_width(static_cast<std::size_t>(bins), 0);
    for (std::int64_t apart = 0; apart < size - 1; ++apart) {
      ++bin_width[static_cast<std::size_t>(apart * bins / (size - 1))];
    }
    Counts to_next(static_cast<std::size_t>(bins), 0);
    Counts to_half(static_cast<std::size_t>(bins), 0);
    for (std::int64_t key = 0; key < keys; ++key) {
      Permutation const order(static_cast<std::uint64_t>(key), key % 3, size);
      // Several places of one key would depend on each other: one of each key.
      std::int64_t const i = key % size;
      ++cell[static_cast<std::size_t>(i * cells / size * cells + order[i] * cells / size)];
      for (auto const& [other, counts] :
           {std::pair{(i + 1) % size, &to_next}, std::pair{(i + size / 2) % size, &to_half}}) {
        std::int64_t const apart = (order[other] - order[i] + size) % size - 1;
        ++(*counts)[static_cast<std::size_t>(apart * bins / (size - 1))];
      }
    }
    std::vector<double> expected;
    for (double const row : width) {
      for (double const column : width) {
        expected.push_back(static_cast<double>(keys) * row * column /
                           static_cast<double>(size * size));
      }
    }
    CHECK(deviations(cell, expected, static_cast<double>(cells * (cells - 1))) < 4.5);
    std::vector<double> expected_apart;
    for (double const bin : bin_width) {
      expected_apart.push_back(static_cast<double>(keys) * bin / static_cast<double>(size - 1));
    }
    CHECK(deviations(to_next, expected_apart, static_cast<double>(bins - 1)) < 4.5);
    CHECK(deviations(to_half, expected_apart, static_cast<double>(bins - 1)) < 4.5);
  }
}

TEST_CASE("under single keys, neighbours and opposites lie anywhere from each other") {
  constexpr std::uint64_t bins = 64;
  for (std::int64_t const size :
       {std::int64_t{1} << 16, std::int64_t{70'000}, std::int64_t{1} << 23, std::int64_t{1} << 24,
        std::int64_t{10'000'000}, std::int64_t{1} << 30, (std::int64_t{1} << 40) + 1}) {
    double worst = 0;
    double sum = 0;
    constexpr int keys = 60;
    for (std::uint64_t key = 0; key < keys; ++key) {
      Permutation const order(key, 1, size);
      for (std::int64_t const apart : {std::int64_t{1}, size / 2}) {
        Counts counts(bins, 0);
        for (std::int64_t i = 0; i < 3000; ++i) {
          std::uint64_t const off =
              static_cast<std::uint64_t>((order[i + apart] - order[i] + size) % size);
          double const part = static_cast<double>(off) / static_cast<double>(size);
          ++counts[static_cast<std::size_t>(part * static_cast<double>(bins))];
        }
        double const deviation = deviations(counts);
        worst = std::max(worst, deviation);
        sum += deviation;
      }
    }
    CAPTURE(size);
    CHECK(worst < 6);
    CHECK(std::abs(sum / (2 * keys)) < 0.5);
  }
}

TEST_CASE("epochs, seeds and datasets have orders of their own") {
  // Two independent orders have one item in one place on average.
  constexpr std::int64_t size = 1000;
  std::int64_t agreements = 0;
  std::int64_t pairs = 0;
  auto const compare = [&](Permutation const& a, Permutation const& b) {
    ++pairs;
    for (std::int64_t i = 0; i < size; ++i) {
      agreements += a[i] == b[i] ? 1 : 0;
    }
  };
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    std::int64_t const epoch = static_cast<std::int64_t>(seed);
    std::uint64_t const of_first = data::dataset_seed(seed, data::Seeding::per_dataset, 0);
    std::uint64_t const of_second = data::dataset_seed(seed, data::Seeding::per_dataset, 1);
    compare(Permutation(seed, epoch, size), Permutation(seed, epoch + 1, size));
    compare(Permutation(seed, epoch, size), Permutation(seed + 1, epoch, size));
    compare(Permutation(of_first, epoch, size), Permutation(of_second, epoch, size));
    compare(Permutation(seed, epoch, size), Permutation(seed + 1, epoch - 1, size));
  }
  CHECK(agreements > pairs * 8 / 10);
  CHECK(agreements < pairs * 12 / 10);
}
