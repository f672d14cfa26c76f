#include "options.hpp"

#include <rlhf/core/error.hpp>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include <getopt.h>

namespace grpo {
namespace {

constexpr std::string_view help = R"(usage: rlhf_grpo [option...]

Trains a small transformer to answer prompts by GRPO: warm-up on some examples, then reinforcement
learning from a reward that a program checks. Ranks are threads. Ctrl-C or kill at any time;
--resume goes on with the very next prompts.

  --data FILE[:RATIO]      prompts, JSON Lines {"prompt": ..., "answer": ...}; may be repeated;
                           RATIO prompts of it in each round of the mixture (1)
  --actor AXIS=N,...       layout of the trainer: tensor, data (tensor=2,data=2)
  --generator AXIS=N,...   layout of the generator: tensor, data (tensor=4)
  --separate               the generator on ranks of its own, not on the trainer's
  --ahead N                episodes that it generates while others are trained on (0); needs
                           --separate
  --episodes N             rounds of generation and training
  --warm-up N              supervised steps before them
  --slips X                part of their demonstrations that are off by one (0.7)
  --prompts N              prompts an episode
  --samples N              answers a prompt
  --updates N              optimizer steps an episode, each on other prompts of it
  --micro-batches N        parts of an update's batch on each rank
  --evaluate-every N       episodes between evaluations on held-out prompts
  --learning-rate X        of the reinforcement learning
  --kl X                   weight of the divergence from the warmed-up policy
  --seed N                 same seed, same curve
  --out DIR                metrics.jsonl, prompts.jsonl, curves.svg, trace.json for Perfetto,
                           checkpoints (grpo-out)
  --resume                 go on from the newest checkpoint in --out
  --short                  half a minute instead of a few
  --check                  exit with status 1 unless held-out accuracy rose
  -h, --help               this text
)";

[[noreturn]] void refuse(std::string_view message) {
  fmt::print(stderr, "rlhf_grpo: {} (rlhf_grpo --help)\n", message);
  std::exit(2);
}

template <class Number>
Number number(std::string_view option, std::string_view value, Number least, Number most) {
  Number out{};
  auto const [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
  if (error != std::errc{} || end != value.data() + value.size() || !(out >= least) ||
      !(out <= most)) {
    refuse(fmt::format("{} needs a number from {} to {}, got {}", option, least, most, value));
  }
  return out;
}

DataFile data_file(std::string_view value) {
  std::size_t const colon = value.rfind(':');
  if (colon == std::string_view::npos) {
    return DataFile{std::string(value), 1};
  }
  return DataFile{
      std::string(value.substr(0, colon)),
      number<std::int64_t>("the ratio of --data", value.substr(colon + 1), 1, 1'000'000)};
}

/// `tensor=2,data=2`. Only the axes that this model knows.
rlhf::Layout layout(std::string_view option, std::string_view value) {
  rlhf::Layout out;
  while (!value.empty()) {
    std::string_view const part = value.substr(0, value.find(','));
    value.remove_prefix(part.size() == value.size() ? part.size() : part.size() + 1);
    std::size_t const equals = part.find('=');
    std::string_view const axis = part.substr(0, equals);
    if (equals == std::string_view::npos || (axis != "tensor" && axis != "data")) {
      refuse(fmt::format("{} takes tensor=N and data=N, got {}", option, part));
    }
    (axis == "tensor" ? out.tensor : out.data) =
        number<int>(fmt::format("{} {}", option, axis), part.substr(equals + 1), 1, 64);
  }
  return out;
}

}  // namespace

std::string settings_text(Options const& options) {
  return fmt::format(
      "prompts={} samples={} updates={} micro_batches={} learning_rate={} kl={} ahead={}",
      options.prompts, options.samples, options.updates, options.micro_batches,
      options.learning_rate, options.kl_coefficient, options.ahead);
}

Options parse_options(int argc, char** argv) {
  enum : int { short_run = 256, check, separate, resume, with_value };
  constexpr std::string_view names[] = {
      "--data",          "--actor",   "--generator",     "--ahead",
      "--episodes",      "--warm-up", "--slips",         "--prompts",
      "--samples",       "--updates", "--micro-batches", "--evaluate-every",
      "--learning-rate", "--kl",      "--seed",          "--out"};
  std::vector<option> table = {{"short", no_argument, nullptr, short_run},
                               {"check", no_argument, nullptr, check},
                               {"separate", no_argument, nullptr, separate},
                               {"resume", no_argument, nullptr, resume},
                               {"help", no_argument, nullptr, 'h'}};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    table.push_back(
        {names[i].data() + 2, required_argument, nullptr, with_value + static_cast<int>(i)});
  }
  table.push_back({nullptr, 0, nullptr, 0});

  Options options;
  std::vector<std::pair<std::string_view, std::string_view>> values;
  opterr = 0;
  for (int found = 0; (found = getopt_long(argc, argv, ":h", table.data(), nullptr)) != -1;) {
    switch (found) {
      case short_run:
        options.short_run = true;
        break;
      case check:
        options.check = true;
        break;
      case separate:
        options.separate = true;
        break;
      case resume:
        options.resume = true;
        break;
      case 'h':
        fmt::print("{}", help);
        std::exit(0);
      case ':':
        refuse(fmt::format("{} needs a value", argv[optind - 1]));
      case '?':
        refuse(fmt::format("there is no option {}", argv[optind - 1]));
      default:
        values.emplace_back(names[found - with_value], optarg);
    }
  }
  if (optind != argc) {
    refuse(fmt::format("unexpected argument {}", argv[optind]));
  }
  if (options.short_run) {  // what is given explicitly wins
    options.episodes = 25;
  }
  for (auto const& [name, value] : values) {
    std::int64_t const many = 1'000'000'000;
    if (name == "--data") {
      options.data.push_back(data_file(value));
    } else if (name == "--actor") {
      options.actor = layout(name, value);
    } else if (name == "--generator") {
      options.generator = layout(name, value);
    } else if (name == "--ahead") {
      options.ahead = number<int>(name, value, 0, 100);
    } else if (name == "--episodes") {
      options.episodes = number<std::int64_t>(name, value, 0, many);
    } else if (name == "--warm-up") {
      options.warm_up_steps = number<std::int64_t>(name, value, 0, many);
    } else if (name == "--slips") {
      options.slips = number<float>(name, value, 0.0F, 1.0F);
    } else if (name == "--prompts") {
      options.prompts = number<std::int64_t>(name, value, 1, 1'000'000);
    } else if (name == "--samples") {
      options.samples = number<std::int64_t>(name, value, 2, 100'000);
    } else if (name == "--updates") {
      options.updates = number<std::int64_t>(name, value, 1, 100'000);
    } else if (name == "--micro-batches") {
      options.micro_batches = number<std::int64_t>(name, value, 1, 100'000);
    } else if (name == "--evaluate-every") {
      options.evaluate_every = number<std::int64_t>(name, value, 1, many);
    } else if (name == "--learning-rate") {
      options.learning_rate = number<float>(name, value, 0.0F, 1.0F);
    } else if (name == "--kl") {
      options.kl_coefficient = number<float>(name, value, 0.0F, 100.0F);
    } else if (name == "--seed") {
      options.seed = number<std::uint64_t>(name, value, 0, UINT64_MAX);
    } else if (value.empty()) {
      refuse("--out needs the name of a directory");
    } else {
      options.out = std::string(value);
    }
  }
  if (options.ahead > 0 && !options.separate) {
    refuse("--ahead needs --separate: ranks that train cannot generate meanwhile");
  }
  if (options.data.empty()) {
    options.data = {{RLHF_EXAMPLE_DIR "/data/addition.jsonl", 1},
                    {RLHF_EXAMPLE_DIR "/data/subtraction.jsonl", 1}};
  }
  return options;
}

}  // namespace grpo
