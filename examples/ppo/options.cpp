#include "options.hpp"

#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <getopt.h>

namespace ppo {
namespace {

[[noreturn]] void refuse(std::string_view message) {
  fmt::print(stderr, "rlhf_ppo: {} (rlhf_ppo --help)\n", message);
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

/// `tensor=2,data=2`. Only the axes that these models know.
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

DataFile data_file(std::string_view value) {
  std::size_t const colon = value.rfind(':');
  if (colon == std::string_view::npos) {
    return DataFile{std::string(value), 1};
  }
  return DataFile{
      std::string(value.substr(0, colon)),
      number<std::int64_t>("the ratio of --data", value.substr(colon + 1), 1, 1'000'000)};
}

/// An option: its name, what stands for its value (none: a switch), what it does.
struct Row {
  char const* name;
  char const* value;
  char const* help;
  void (*set)(Options&, std::string_view name, std::string_view value);
};

template <auto Member, std::int64_t Least = 1, std::int64_t Most = 1'000'000'000>
void count(Options& options, std::string_view name, std::string_view value) {
  options.*Member = number<std::int64_t>(name, value, Least, Most);
}
template <auto Member, int Most = 1>
void real(Options& options, std::string_view name, std::string_view value) {
  options.*Member = number<float>(name, value, 0.0F, static_cast<float>(Most));
}
template <auto Member>
void axes(Options& options, std::string_view name, std::string_view value) {
  options.*Member = layout(name, value);
}
template <auto Member>
void turn_on(Options& options, std::string_view, std::string_view) {
  options.*Member = true;
}

constexpr Row rows[] = {
    {"config", "FILE", "settings as in examples/ppo/run.json; options win over it",
     [](Options& o, std::string_view, std::string_view v) { o.config = std::string(v); }},
    {"set", "A.B=C", "a setting over those of --config; may be repeated",
     [](Options& o, std::string_view, std::string_view v) { o.set.emplace_back(v); }},
    {"data", "FILE[:RATIO]",
     R"(prompts, JSON Lines {"prompt": ..., "answer": ...}; may be repeated)",
     [](Options& o, std::string_view, std::string_view v) { o.data.push_back(data_file(v)); }},
    {"placement", "WHERE", "colocated: all on the same ranks; separate: the generator on its own",
     [](Options& o, std::string_view, std::string_view v) {
       if (v != "colocated" && v != "separate") {
         refuse(fmt::format("--placement is colocated or separate, got {}", v));
       }
       o.separate = v == "separate";
     }},
    {"ahead", "N", "episodes generated while one is trained on (separate: 1, colocated: 0)",
     [](Options& o, std::string_view n, std::string_view v) {
       o.ahead = number<int>(n, v, 0, 16);
     }},
    {"policy", "AXIS=N,...", "layout of the policy: tensor, data (tensor=2,data=2)",
     axes<&Options::policy>},
    {"generator", "AXIS=N,...", "layout of the generator (tensor=4)", axes<&Options::generator>},
    {"scorers", "AXIS=N,...", "layout of reference, reward model and critic (data=4)",
     axes<&Options::scorers>},
    {"episodes", "N", "rounds of generation and training", count<&Options::episodes, 0>},
    {"warm-up", "N", "supervised steps of the policy before them",
     count<&Options::warm_up_steps, 0>},
    {"reward-steps", "N", "steps of the reward model's training", count<&Options::reward_steps, 0>},
    {"slips", "X", "part of the policy's demonstrations that are off by one (0.7)",
     real<&Options::slips>},
    {"prompts", "N", "prompts an episode, one answer each", count<&Options::prompts>},
    {"epochs", "N", "passes over an episode's answers", count<&Options::epochs>},
    {"batch", "N", "answers of an optimizer step, over all ranks", count<&Options::batch>},
    {"micro-batch", "N", "answers of a pass through a model, on a rank",
     count<&Options::micro_batch>},
    {"evaluate-every", "N", "episodes between evaluations on held-out prompts",
     count<&Options::evaluate_every>},
    {"save-every", "N", "episodes between checkpoints", count<&Options::save_every>},
    {"learning-rate", "X", "of the policy", real<&Options::learning_rate>},
    {"critic-learning-rate", "X", "of the critic", real<&Options::critic_learning_rate>},
    {"kl", "X", "what a nat of divergence from the reference costs", real<&Options::kl, 100>},
    {"clip", "X", "how far ratios and values move at a time", real<&Options::clip, 100>},
    {"gamma", "X", "discount of a token", real<&Options::gamma>},
    {"lambda", "X", "of the advantages: 0 trusts the critic, 1 the rewards",
     real<&Options::lambda>},
    {"seed", "N", "same seed, same curve",
     [](Options& o, std::string_view n, std::string_view v) {
       o.seed = number<std::uint64_t>(n, v, 0, UINT64_MAX);
     }},
    {"out", "DIR", "metrics.jsonl, trace.json, curves.svg, checkpoints (ppo-out)",
     [](Options& o, std::string_view, std::string_view v) {
       if (v.empty()) {
         refuse("--out needs the name of a directory");
       }
       o.out = std::string(v);
     }},
    {"resume", nullptr, "go on from the newest checkpoint in --out", turn_on<&Options::resume>},
    {"short", nullptr, "half a minute instead of a few: additions only",
     turn_on<&Options::short_run>},
    {"check", nullptr, "exit with status 1 unless held-out accuracy rose",
     turn_on<&Options::check>},
};

[[noreturn]] void print_help() {
  fmt::print(
      "usage: rlhf_ppo [option...]\n\n"
      "Trains a small transformer to answer prompts by PPO: a policy, a generator of the same\n"
      "weights, a frozen reference, a reward model that is trained first, a critic. Ctrl-C or "
      "kill\n"
      "at any time; --resume goes on with the very next episode.\n\n");
  for (Row const& row : rows) {
    std::string const left = fmt::format("  --{}{}{}", row.name, row.value != nullptr ? " " : "",
                                         row.value != nullptr ? row.value : "");
    fmt::print("{:<28}{}{}\n", left, left.size() >= 28 ? "\n                            " : "",
               row.help);
  }
  fmt::print("{:<28}this text\n", "  -h, --help");
  std::exit(0);
}

}  // namespace

std::string settings_text(Options const& o) {
  return fmt::format(
      "policy={} generator={} scorers={} ahead={} prompts={} epochs={} batch={} micro_batch={} "
      "learning_rate={} critic_learning_rate={} kl={} clip={} gamma={} lambda={} evaluate_every={} "
      "seed={}",
      rlhf::to_string(o.policy), rlhf::to_string(o.generator), rlhf::to_string(o.scorers),
      o.episodes_ahead(), o.prompts, o.epochs, o.batch, o.micro_batch, o.learning_rate,
      o.critic_learning_rate, o.kl, o.clip, o.gamma, o.lambda, o.evaluate_every, o.seed);
}

Options parse_options(int argc, char** argv) {
  constexpr int first = 256;
  std::vector<option> table;
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    table.push_back({rows[i].name, rows[i].value != nullptr ? required_argument : no_argument,
                     nullptr, first + static_cast<int>(i)});
  }
  table.push_back({"help", no_argument, nullptr, 'h'});
  table.push_back({nullptr, 0, nullptr, 0});

  std::vector<std::pair<Row const*, std::string_view>> given;
  opterr = 0;
  for (int found = 0; (found = getopt_long(argc, argv, ":h", table.data(), nullptr)) != -1;) {
    switch (found) {
      case 'h':
        print_help();
      case ':':
        refuse(fmt::format("{} needs a value", argv[optind - 1]));
      case '?':
        refuse(fmt::format("there is no option {}", argv[optind - 1]));
      default:
        given.emplace_back(&rows[found - first], optarg != nullptr ? optarg : "");
    }
  }
  if (optind != argc) {
    refuse(fmt::format("unexpected argument {}", argv[optind]));
  }
  Options options;
  for (auto const& [row, value] : given) {
    std::string_view const name(row->name);
    if (name == "config" || name == "set") {
      row->set(options, name, value);
    }
  }
  if (!options.config.empty()) {
    try {
      configure(options, options.config, options.set);
    } catch (rlhf::Error const& error) {
      refuse(error.message());
    }
  } else if (!options.set.empty()) {
    refuse("--set needs --config");
  }
  for (auto const& [row, value] : given) {
    if (std::string_view(row->name) == "short") {  // what is given explicitly wins
      options.episodes = 10;
      options.warm_up_steps = 200;
      options.reward_steps = 220;
    }
  }
  bool const was_separate = options.separate;
  for (auto const& [row, value] : given) {
    row->set(options, fmt::format("--{}", row->name), value);
  }
  auto const is_given = [&](std::string_view name) {
    return std::any_of(given.begin(), given.end(),
                       [&](auto const& one) { return one.first->name == name; });
  };
  if (options.separate != was_separate && !is_given("ahead")) {
    options.ahead = -1;  // what the configuration says is for the other placement
  }
  if (!options.separate && options.episodes_ahead() > 0) {
    refuse("--ahead needs --placement separate: on the same ranks nothing runs beside training");
  }
  int const shares = std::max({options.policy.data, options.generator.data, options.scorers.data});
  if (options.prompts < shares || options.batch < shares) {
    refuse(fmt::format("--prompts and --batch must be at least {}, one row a share", shares));
  }
  if (options.data.empty()) {
    options.data.push_back({RLHF_EXAMPLE_DIR "/../grpo/data/addition.jsonl", 1});
    if (!options.short_run) {
      options.data.push_back({RLHF_EXAMPLE_DIR "/../grpo/data/subtraction.jsonl", 1});
    }
  }
  return options;
}

}  // namespace ppo
