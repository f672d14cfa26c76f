// A run from a configuration file: the settings of the library's that this program takes, and its
// own below `model_args`.
#include <rlhf/adapters/config_json.hpp>
#include <rlhf/config/rank_plan.hpp>
#include <rlhf/config/read.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/engine/from_config.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"

namespace ppo {
namespace {

namespace config = rlhf::config;

/// `model_args` of the policy.
struct PolicyArguments {
  double learning_rate;
  double kl;
  double clip;
  double gamma;
  double lambda;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("learning_rate", self.learning_rate, config::between(0.0, 1.0), "of the policy");
    visit("kl", self.kl, config::between(0.0, 100.0), "what a nat of divergence costs");
    visit("clip", self.clip, config::between(0.0, 100.0), "how far ratios move at a time");
    visit("gamma", self.gamma, config::between(0.0, 1.0), "discount of a token");
    visit("lambda", self.lambda, config::between(0.0, 1.0), "of the advantages");
  }
};
/// `model_args` of the critic.
struct CriticArguments {
  double learning_rate;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("learning_rate", self.learning_rate, config::between(0.0, 1.0), "of the critic");
  }
};

}  // namespace

void configure(Options& options, std::string const& file, std::vector<std::string> const& set) {
  config::Config const run = rlhf::adapters::read_config_file(file, set);
  config::RankPlan const places = config::rank_plan(run);
  options.policy = places.at("policy").layout;
  options.generator = places.at("generator").layout;
  options.scorers = places.at("critic").layout;
  for (std::string_view const other : {"reference", "reward"}) {
    if (places.at(other).layout != options.scorers) {
      rlhf::fail(rlhf::Errc::invalid_argument,
                 rlhf::text("models.", other, " must have the layout of models.critic, which is ",
                            rlhf::to_string(options.scorers)));
    }
  }
  options.separate = !config::share_ranks(run, "policy", "generator");

  auto const engine = rlhf::engine::options_of(run);
  options.ahead = engine.episodes_ahead;
  options.episodes = engine.episodes;
  options.save_every = engine.save_every;
  options.evaluate_every = engine.evaluate_every;
  options.resume = engine.resume;
  options.seed = engine.seed;
  auto const train = rlhf::engine::train_options_of(run);
  options.epochs = train.epochs;
  options.batch = train.global_batch;
  options.micro_batch = train.micro_batch;
  options.prompts = run.runtime.sample_per_episode;
  options.out = run.runtime.output_path();
  for (std::size_t i = 0; i < run.runtime.data_path.size(); ++i) {
    options.data.push_back(
        {run.runtime.data_path[i], run.runtime.data_ratio.empty() ? 1 : run.runtime.data_ratio[i]});
  }

  PolicyArguments policy{options.learning_rate, options.kl, options.clip, options.gamma,
                         options.lambda};
  config::read_section(run.models.at("policy").model_args, policy, "models.policy.model_args");
  options.learning_rate = static_cast<float>(policy.learning_rate);
  options.kl = static_cast<float>(policy.kl);
  options.clip = static_cast<float>(policy.clip);
  options.gamma = static_cast<float>(policy.gamma);
  options.lambda = static_cast<float>(policy.lambda);
  CriticArguments critic{options.critic_learning_rate};
  config::read_section(run.models.at("critic").model_args, critic, "models.critic.model_args");
  options.critic_learning_rate = static_cast<float>(critic.learning_rate);
}

}  // namespace ppo
