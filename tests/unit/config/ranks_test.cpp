#include <rlhf/comm/local.hpp>
#include <rlhf/comm/local_world.hpp>
#include <rlhf/config/check.hpp>
#include <rlhf/config/config.hpp>
#include <rlhf/config/expect_same.hpp>
#include <rlhf/config/link_options.hpp>
#include <rlhf/config/rank_plan.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace config = rlhf::config;
using config::Config;
using config::LinkPolicy;
using rlhf::comm::Local;

namespace {

Config trainer_and_policy() {
  Config out;
  out.runtime.train_global_batch_size = 8;
  config::Model& trainer = out.models["trainer"];
  trainer.num_cpu = 4;
  trainer.trainable = true;
  trainer.tensor_model_parallel_size = 2;
  config::Model& policy = out.models["policy"];
  policy.num_cpu = 4;
  policy.tensor_model_parallel_size = 4;
  out.links["w"] = {.source = "trainer", .destination = "policy"};
  return out;
}

/// 16 rows over the tensor ranks of a layout that is known only now.
template <class Sync>
struct Rows : rlhf::Module<rlhf::RuntimeGrid, Sync> {
  using rlhf::Module<rlhf::RuntimeGrid, Sync>::Module;
  std::vector<float> weight{};

  void fill(float element) {
    if (this->present()) {
      weight.assign(static_cast<std::size_t>(16 / this->layout().tensor * 8), element);
    }
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    if (this->present()) {
      visit("weight", rlhf::view(weight, {16 / this->layout().tensor, 8}), rlhf::shard::rows());
    }
  }
};

}  // namespace

TEST_CASE("models get ranks in their order, those of a group the same") {
  Config settings = trainer_and_policy();
  settings.models["reward"].num_gpu = 2;
  settings.models["value"].num_gpu = 8;
  config::RankPlan apart = config::rank_plan(settings);
  CHECK(apart.ranks == 18);
  CHECK(apart.at("trainer").mesh == rlhf::Mesh::range(0, 4));
  CHECK(apart.at("trainer").layout == rlhf::Layout{.tensor = 2, .data = 2});
  CHECK(apart.at("policy").mesh == rlhf::Mesh::range(4, 4));
  CHECK(apart.at("value").mesh == rlhf::Mesh::range(10, 8));
  settings.runtime.colocation = {{"value", "policy"}, {"reward"}};
  config::RankPlan const together = config::rank_plan(settings);
  CHECK(together.ranks == 14);
  CHECK(together.at("policy").mesh == rlhf::Mesh::range(4, 4));
  CHECK(together.at("value").mesh == rlhf::Mesh::range(4, 8));
  CHECK(together.at("reward").mesh == rlhf::Mesh::range(12, 2));
  CHECK_THROWS_AS(static_cast<void>(together.at("polici")), rlhf::Error);
}

TEST_CASE("links take from the run what they do not say themselves") {
  Config settings = trainer_and_policy();
  config::Link& link = settings.links["w"];
  CHECK(config::policy_of(settings, link) == LinkPolicy::broadcast);
  settings.runtime.param_sync_comm_type = config::CommType::p2p;
  CHECK(config::policy_of(settings, link) == LinkPolicy::point_to_point);
  CHECK(config::bucket_of(settings, link).count == std::int64_t{100} << 20);
  CHECK(config::link_options(settings, link).budget.count == std::int64_t{400} << 20);
  CHECK(config::link_options(settings, link).verification == rlhf::sync::Verification::none);
  settings.runtime.validate_param_sync = true;
  CHECK(config::link_options(settings, link).verification == rlhf::sync::Verification::fingerprint);
  CHECK(config::frequency_of(settings, link) == 1);
  settings.models["policy"].sync_frequency = 3;
  CHECK(config::is_due(settings, link, 0));
  CHECK_FALSE(config::is_due(settings, link, 1));
  CHECK(config::is_due(settings, link, 3));
  link = {.source = "trainer",
          .destination = "policy",
          .policy = LinkPolicy::reshard,
          .frequency = 0,
          .bucket_bytes = 4096,
          .verification = rlhf::sync::Verification::full,
          .only = {"lora.*"}};
  CHECK_FALSE(config::is_due(settings, link, 0));
  CHECK(config::policy_of(settings, link) == LinkPolicy::reshard);
  CHECK(config::link_options(settings, link).budget.count == 4 * 4096);
  CHECK(config::link_options(settings, link).verification == rlhf::sync::Verification::full);
  CHECK(config::link_options(settings, link).only == std::vector<std::string>{"lora.*"});
  link.budget_bytes = 8192;
  CHECK(config::link_options(settings, link).budget.count == 8192);
}

TEST_CASE("layouts, ranks, policies and buckets of a configuration drive a sync") {
  std::vector<LinkPolicy> const policies = {LinkPolicy::reshard, LinkPolicy::broadcast,
                                            LinkPolicy::point_to_point, LinkPolicy::two_stage,
                                            LinkPolicy::experts};
  for (LinkPolicy const policy : policies) {
    for (bool const together : {false, true}) {
      Config settings = trainer_and_policy();
      settings.links["w"].policy = policy;
      settings.links["w"].bucket_bytes = 256;
      if (together) {
        settings.runtime.colocation = {{"trainer", "policy"}};
      }
      config::expect_valid(settings);
      config::RankPlan const ranks = config::rank_plan(settings);
      CHECK(ranks.ranks == (together ? 4 : 8));
      rlhf::comm::run_local(ranks.ranks, [&](Local world) {
        config::expect_same(world, settings);
        config::Link const& wanted = settings.links.at("w");
        config::visit_policy(settings, wanted, [&]<class Sync>(Sync) {
          config::ModelRanks const& from = ranks.at(wanted.source);
          config::ModelRanks const& to = ranks.at(wanted.destination);
          Rows<Sync> source(from.mesh, world.rank(), from.layout);
          Rows<Sync> destination(to.mesh, world.rank(), to.layout);
          source.fill(1.5F);
          destination.fill(0);
          rlhf::sync::Link link(world, source, destination, config::link_options(settings, wanted));
          link.sync(rlhf::Version{1});
          link.verify();
          bool right = true;
          for (float const element : destination.weight) {
            right = right && element > 1 && element < 2;
          }
          CHECK(right);
          CHECK(link.plan().bucket_bytes <= 512);
        });
      });
    }
  }
}

TEST_CASE("a rank with another configuration is named, and the setting with both values") {
  struct Wrong {
    void (*change)(Config&);
    std::string said;
  };
  std::vector<Wrong> const wrongs = {
      {[](Config& other) { other.runtime.seed = 7; },
       "runtime.seed is 0 on rank 0 and 7 on rank 2"},
      {[](Config& other) { other.runtime.exp_name = "b"; },
       "runtime.exp_name is \"CHATLEARN\" on rank 0 and \"b\" on rank 2"},
      {[](Config& other) { other.models["policy"].lora.lora_dim = 4; },
       "models.policy.lora.lora_dim is 8 on rank 0 and 4 on rank 2"},
      {[](Config& other) { other.models["extra"].num_cpu = 4; },
       "links.w.source on rank 0 where rank 2 has models.extra.num_gpu"},
      {[](Config& other) { other.runtime.data_path = {"a"}; },
       "runtime.data_path on rank 0 where rank 2 has runtime.data_path[0]"},
  };
  for (Wrong const& wrong : wrongs) {
    std::vector<std::string> said(4);
    rlhf::comm::run_local(4, [&](Local world) {
      Config settings = trainer_and_policy();
      CHECK_NOTHROW(config::expect_same(world, settings));
      if (world.rank() >= 2) {
        wrong.change(settings);
      }
      try {
        config::expect_same(world, settings);
      } catch (rlhf::Error const& error) {
        CHECK(error.code() == rlhf::Errc::rank_mismatch);
        CHECK(error.rank() == 2);
        said[static_cast<std::size_t>(world.rank())] = error.message();
      }
    });
    for (std::string const& message : said) {
      CHECK_MESSAGE(
          message.find("ranks [2, 3] were given another one than rank 0") != std::string::npos,
          message);
      CHECK_MESSAGE(message.find(wrong.said) != std::string::npos, message);
    }
  }
}
