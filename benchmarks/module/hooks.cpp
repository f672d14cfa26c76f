// What hooks cost: an episode of tiny train steps driven through rlhf::hook beside the same loop
// written by hand.
//
// Prints a JSON line for each workload: nanoseconds of a train step either way (median and 95th
// percentile over the rounds, which alternate between the two) and the ratio of the medians. Fails
// where the results differ.
#include <rlhf/rlhf.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

namespace {

/// Hides a value from the optimiser.
template <class T>
void keep(T& value) {
  asm volatile("" : "+m"(value) : : "memory");
}

struct Batch {
  float input;
  float target;
};

float descend(float& weight, std::span<Batch const> batches, float rate) {
  float loss = 0;
  for (Batch const& batch : batches) {
    float const error = weight * batch.input - batch.target;
    weight -= rate * error * batch.input;
    loss += error * error;
  }
  return loss;
}
float rate_at(std::int64_t step) {
  return step < 1000 ? 0.01F : 0.001F;
}

struct Trainer
    : rlhf::Module<rlhf::Grid<rlhf::Layout{.data = rlhf::Layout::any}>, rlhf::sync::TwoStage<>> {
  using Module::Module;
  using Batch = ::Batch;
  void before_episode(rlhf::Episode) { loss = 0; }
  float train_step(std::span<Batch const> batches, rlhf::Step step) {
    return descend(weight, batches, rate_at(step.value));
  }
  float weight = 0;
  float loss = 0;
};
struct ByHand {
  std::vector<int> ranks{0};
  std::int64_t step = 0;
  std::int64_t episode = 0;
  int rank = 0;
  float weight = 0;
  float loss = 0;
};

[[gnu::noinline]] void episode(Trainer& trainer, std::span<Batch const> batches, int steps) {
  rlhf::hook::setup(trainer);  // absent
  rlhf::hook::before_episode(trainer);
  for (int i = 0; i < steps; ++i) {
    keep(trainer);
    trainer.loss += rlhf::hook::train_step(trainer, batches);
  }
  rlhf::hook::after_episode(trainer);
}
[[gnu::noinline]] void episode(ByHand& trainer, std::span<Batch const> batches, int steps) {
  trainer.loss = 0;
  for (int i = 0; i < steps; ++i) {
    keep(trainer);
    float const loss = descend(trainer.weight, batches, rate_at(trainer.step));
    ++trainer.step;
    trainer.loss += loss;
  }
  ++trainer.episode;
}

template <class T>
double nanoseconds_a_step(T& trainer, std::span<Batch const> batches, int steps) {
  std::int64_t const begin = rlhf::steady_nanoseconds();
  episode(trainer, batches, steps);
  return static_cast<double>(rlhf::steady_nanoseconds() - begin) / steps;
}
double percentile(std::vector<double> values, double at) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(at * static_cast<double>(values.size() - 1))];
}

bool measure(int micro_batches) {
  constexpr int rounds = 201;
  int const steps = 20'000 / micro_batches;
  std::vector<Batch> batches;
  for (int i = 0; i < micro_batches; ++i) {
    batches.push_back({static_cast<float>(i % 5) * 0.25F, static_cast<float>(i % 3)});
  }
  Trainer library(rlhf::Mesh::range(0, 1), 0);
  ByHand by_hand;
  std::vector<double> library_ns;
  std::vector<double> by_hand_ns;
  for (int round = 0; round < rounds; ++round) {  // the first round warms up
    double const a = nanoseconds_a_step(library, batches, steps);
    double const b = nanoseconds_a_step(by_hand, batches, steps);
    if (round > 0) {
      library_ns.push_back(a);
      by_hand_ns.push_back(b);
    }
  }
  bool const equal = library.weight == by_hand.weight && library.loss == by_hand.loss &&
                     library.step().value == by_hand.step &&
                     library.episode().value == by_hand.episode && by_hand.episode == rounds;
  double const library_median = percentile(library_ns, 0.5);
  double const by_hand_median = percentile(by_hand_ns, 0.5);
  std::printf(
      "{\"benchmark\":\"module/hooks\",\"micro_batches\":%d,\"steps\":%d,\"rounds\":%d,"
      "\"library_ns\":%.3f,\"library_p95_ns\":%.3f,\"by_hand_ns\":%.3f,\"by_hand_p95_ns\":%.3f,"
      "\"ratio\":%.4f,\"equal_results\":%s}\n",
      micro_batches, steps, rounds - 1, library_median, percentile(library_ns, 0.95),
      by_hand_median, percentile(by_hand_ns, 0.95), library_median / by_hand_median,
      equal ? "true" : "false");
  return equal;
}

}  // namespace

int main() {
  bool right = true;
  for (int const micro_batches : {1, 4, 32}) {
    right = measure(micro_batches) && right;
  }
  return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
