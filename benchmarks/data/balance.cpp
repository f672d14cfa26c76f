// Balance of lengths over ranks: the library's longest-processing-time-first beside
// Karmarkar-Karp differencing, written here: how even the loads are, and what either costs.
//
// Lengths are log-normal, cut to 16 .. 8192, as rollouts have them. The number is the largest load
// over the larger of the mean and the longest, which no assignment can beat: its mean and worst
// over rounds. Times are the best of them.
#include <rlhf/core/clock.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/data/balance.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace data = rlhf::data;
using Numbers = std::vector<std::int64_t>;

namespace {

Numbers lengths_of(std::size_t count, std::uint64_t seed) {
  rlhf::CounterRandom const random(seed, 0);
  Numbers out;
  for (std::uint64_t i = 0; i < count; ++i) {
    double const u = 1.0 - static_cast<double>(random.uniform(2 * i));
    double const v = static_cast<double>(random.uniform(2 * i + 1));
    double const normal = std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
    out.push_back(std::clamp<std::int64_t>(std::llround(std::exp(6.0 + normal)), 16, 8192));
  }
  return out;
}

/// Merges the two partial assignments that differ most, the fullest part of one with the emptiest
/// of the other. With equal sizes every assignment begins with one sample a part. The loads.
Numbers karmarkar_karp(Numbers costs, std::size_t parts, bool equal) {
  struct Partial {
    Numbers loads;  // falling
    std::size_t number;
    [[nodiscard]] std::int64_t spread() const { return loads.front() - loads.back(); }
    bool operator<(Partial const& other) const {
      return spread() != other.spread() ? spread() < other.spread() : number > other.number;
    }
  };
  std::sort(costs.begin(), costs.end(), std::greater<>());
  std::priority_queue<Partial> queue;
  std::size_t const step = equal ? parts : 1;
  for (std::size_t i = 0; i < costs.size(); i += step) {
    Numbers loads(parts, 0);
    for (std::size_t k = 0; k < step && i + k < costs.size(); ++k) {
      loads[k] = costs[i + k];
    }
    queue.push({std::move(loads), queue.size()});
  }
  std::size_t number = costs.size();
  while (queue.size() > 1) {
    Partial merged = queue.top();
    queue.pop();
    for (std::size_t p = 0; p < parts; ++p) {
      merged.loads[p] += queue.top().loads[parts - 1 - p];
    }
    queue.pop();
    std::sort(merged.loads.begin(), merged.loads.end(), std::greater<>());
    merged.number = number++;
    queue.push(std::move(merged));
  }
  return queue.top().loads;
}

struct Result {
  double evenness = 0;
  double worst = 0;
  double microseconds = 1e9;
};
template <class Balance>
Result measure(std::size_t samples, std::int64_t parts, int rounds, Balance&& balance) {
  Result out;
  for (int round = 0; round < rounds; ++round) {
    Numbers const costs = lengths_of(samples, static_cast<std::uint64_t>(round));
    std::int64_t sum = 0;
    for (std::int64_t const cost : costs) {
      sum += cost;
    }
    double const least =
        std::max(static_cast<double>(sum) / static_cast<double>(parts),
                 static_cast<double>(*std::max_element(costs.begin(), costs.end())));
    std::int64_t const begin = rlhf::steady_nanoseconds();
    Numbers const loads = balance(costs);
    out.microseconds =
        std::min(out.microseconds, static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-3);
    double const evenness =
        static_cast<double>(*std::max_element(loads.begin(), loads.end())) / least;
    out.evenness += evenness / rounds;
    out.worst = std::max(out.worst, evenness);
  }
  return out;
}

}  // namespace

int main() {
  constexpr int rounds = 50;
  for (std::int64_t const parts : {8, 64}) {
    for (std::int64_t const each : {2, 4, 8, 32, 128}) {
      for (bool const equal : {false, true}) {
        std::size_t const samples = static_cast<std::size_t>(parts * each);
        Result const ours = measure(samples, parts, rounds, [&](Numbers const& costs) {
          return data::loads_of(
              costs,
              data::balance(costs, parts, equal ? data::PartSizes::equal : data::PartSizes::any));
        });
        Result const differencing = measure(samples, parts, rounds, [&](Numbers const& costs) {
          return karmarkar_karp(costs, static_cast<std::size_t>(parts), equal);
        });
        std::printf(
            "{\"benchmark\":\"data/balance\",\"ranks\":%lld,\"samples\":%zu,\"sizes\":\"%s\","
            "\"rounds\":%d,\"longest_first\":%.4f,\"longest_first_worst\":%.4f,"
            "\"longest_first_us\":%.1f,\"karmarkar_karp\":%.4f,\"karmarkar_karp_worst\":%.4f,"
            "\"karmarkar_karp_us\":%.1f}\n",
            static_cast<long long>(parts), samples, equal ? "equal" : "any", rounds, ours.evenness,
            ours.worst, ours.microseconds, differencing.evenness, differencing.worst,
            differencing.microseconds);
      }
    }
  }
  return EXIT_SUCCESS;
}
