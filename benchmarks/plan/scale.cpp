// What planning costs: time and memory of whole plans of published models between layouts of
// hundreds to thousands of ranks, on one core.
//
// Prints a JSON line for each case: seconds of placing both sides, of the plan, of one rank's own
// schedule on either side, of the proof and of the prediction; the plan's size; resident memory
// when a rank has its schedule, and at the end. Every case runs in a process of its own. Fails
// where the proof finds a fault or more bytes move than the least. Best of several rounds: other
// programs on the machine only add time.
//
// scale [--case N] [--rounds N]
#include <rlhf/adapters/model_json.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/cost.hpp>
#include <rlhf/plan/minimum.hpp>
#include <rlhf/plan/proof.hpp>
#include <rlhf/plan/schedule.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

namespace plan = rlhf::plan;
using rlhf::Layout;

struct Case {
  char const* model;
  Layout source;
  Layout destination;
  plan::Route route = plan::Route::point_to_point;
};

constexpr Case cases[] = {
    {"qwen3-235b-a22b", {.tensor = 4, .pipeline = 4, .expert = 16}, {.tensor = 4, .expert = 32}},
    {"kimi-k2", {.tensor = 8, .pipeline = 4, .expert = 8}, {.tensor = 8, .expert = 16}},
    {"kimi-k2", {.tensor = 8, .pipeline = 16, .expert = 8}, {.tensor = 8, .expert = 16, .data = 4}},
    {"kimi-k2",
     {.tensor = 8, .pipeline = 16, .expert = 32},
     {.tensor = 8, .expert = 16, .data = 8}},
    {"kimi-k2",
     {.tensor = 8, .pipeline = 16, .expert = 64},
     {.tensor = 8, .expert = 32, .data = 8}},
    {"kimi-k2", {.fsdp = 256}, {.tensor = 8, .expert = 16}},
    {"kimi-k2",
     {.tensor = 8, .pipeline = 16, .expert = 64},
     {.tensor = 8, .expert = 32, .data = 8},
     plan::Route::hierarchical},
    {"kimi-k2",
     {.tensor = 8, .pipeline = 16, .expert = 64},
     {.tensor = 8, .expert = 32, .data = 8},
     plan::Route::automatic},
};

double seconds_now() {
  return static_cast<double>(rlhf::steady_nanoseconds()) * 1e-9;
}
long resident_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

/// Keeps the least of several measurements.
struct Least {
  double seconds = -1;
  template <class Work>
  auto operator()(Work&& work) {
    double const begin = seconds_now();
    auto result = work();
    double const took = seconds_now() - begin;
    seconds = seconds < 0 ? took : std::min(seconds, took);
    return result;
  }
};

bool measure(Case const& one, int rounds) {
  plan::ModelList const model =
      plan::read_model_file(std::string(RLHF_MODELS_DIR "/") + one.model + ".json");
  plan::Side source;
  plan::Side destination;
  source.layout = one.source;
  destination.layout = one.destination;
  int const sources = one.source.ranks();
  for (int rank = 0; rank < one.destination.ranks(); ++rank) {
    destination.world_ranks.push_back(sources + rank);
  }
  int const world = sources + one.destination.ranks();
  plan::Topology const hosts = plan::Topology::of_hosts(world, 8);
  plan::Options const options{.route = one.route, .bucket_bytes = std::int64_t{256} << 20};
  Least place_time;
  Least build_time;
  Least source_time;
  Least destination_time;
  Least proof_time;
  Least predict_time;
  long resident_own = 0;
  plan::Plan made;
  plan::Prediction prediction;
  plan::MinimumBytes minimum;
  std::size_t buckets = 0;
  std::string fault;
  for (int round = 0; round < rounds; ++round) {
    made = {};
    auto const sides = place_time(
        [&] { return std::pair(plan::place(model, source), plan::place(model, destination)); });
    made = build_time([&] { return plan::build(sides.first, sides.second, options, hosts); });
    auto const giving = source_time([&] { return plan::schedule(made, sources / 2); });
    auto const taking = destination_time(
        [&] { return plan::schedule(made, sources + one.destination.ranks() / 2); });
    buckets = taking.buckets.size();
    resident_own = round == 0 ? resident_megabytes() : resident_own;
    fault = proof_time([&] { return plan::find_fault(made, sides.first, sides.second); });
    prediction = predict_time([&] { return plan::predict(made, hosts); });
    minimum = plan::minimum_bytes(sides.first, sides.second);
  }
  std::int64_t units = 0;
  for (plan::Move const& move : made.moves) {
    units += move.parameters() * std::ssize(move.paths);
  }
  bool const verified =
      fault.empty() && minimum.lacking == made.bytes_moved && minimum.needed == made.bytes_needed;
  std::printf(
      "{\"benchmark\":\"plan/scale\",\"model\":\"%s\",\"source\":\"%s\",\"destination\":\"%s\","
      "\"source_ranks\":%d,\"destination_ranks\":%d,\"route\":\"%s\",\"parameters\":%zu,"
      "\"kinds\":%zu,\"moves\":%zu,\"units\":%lld,\"place_seconds\":%.4f,\"build_seconds\":%.4f,"
      "\"own_source_seconds\":%.4f,\"own_destination_seconds\":%.4f,\"own_buckets\":%zu,"
      "\"proof_seconds\":%.4f,\"predict_seconds\":%.4f,\"plan_seconds\":%.4f,"
      "\"resident_own_mb\":%ld,\"resident_all_mb\":%ld,\"bytes_moved\":%lld,"
      "\"bytes_minimum\":%lld,\"send_max_over_mean\":%.3f,\"receive_max_over_mean\":%.3f,"
      "\"verified\":%s}\n",
      one.model, rlhf::to_string(one.source).c_str(), rlhf::to_string(one.destination).c_str(),
      sources, one.destination.ranks(), plan::to_string(one.route).data(), made.parameters.size(),
      made.kinds.size(), made.moves.size(), static_cast<long long>(units), place_time.seconds,
      build_time.seconds, source_time.seconds, destination_time.seconds, buckets,
      proof_time.seconds, predict_time.seconds, place_time.seconds + build_time.seconds,
      resident_own, resident_megabytes(), static_cast<long long>(made.bytes_moved),
      static_cast<long long>(minimum.lacking), prediction.send_max_over_mean,
      prediction.receive_max_over_mean, verified ? "true" : "false");
  if (!fault.empty()) {
    std::printf("%s\n", fault.c_str());
  }
  return verified;
}

/// Runs one case in a fresh process, so that its memory is its own.
bool measure_apart(char* program, int number, int rounds) {
  std::fflush(stdout);
  pid_t const child = fork();
  if (child == 0) {
    std::string case_text = std::to_string(number);
    std::string rounds_text = std::to_string(rounds);
    std::string options[] = {"--case", "--rounds"};
    char* const arguments[] = {program,           options[0].data(),  case_text.data(),
                               options[1].data(), rounds_text.data(), nullptr};
    execv("/proc/self/exe", arguments);
    std::perror("execv");
    _exit(1);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

}  // namespace

int main(int argc, char** argv) {
  int only = -1;
  int rounds = 3;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--case") == 0) {
      only = std::atoi(argv[i + 1]);
    } else if (std::strcmp(argv[i], "--rounds") == 0) {
      rounds = std::max(1, std::atoi(argv[i + 1]));
    }
  }
  bool right = only < static_cast<int>(std::size(cases));
  if (only >= 0) {
    right = right && measure(cases[only], rounds);
  } else {
    for (int number = 0; number < static_cast<int>(std::size(cases)); ++number) {
      right = measure_apart(argv[0], number, rounds) && right;
    }
  }
  return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
