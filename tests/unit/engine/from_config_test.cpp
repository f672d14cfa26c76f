#include <rlhf/config/config.hpp>
#include <rlhf/engine/from_config.hpp>

#include <doctest/doctest.h>

namespace config = rlhf::config;
namespace engine = rlhf::engine;

TEST_CASE("a configuration gives an engine its settings") {
  config::Config run;
  run.runtime.num_episode = 12;
  run.runtime.max_version_lag = 1;
  run.runtime.save_episode_interval = 3;
  run.runtime.eval_episode_interval = 4;
  run.runtime.train_global_batch_size = 64;
  run.runtime.train_micro_batch_size = 8;
  run.runtime.num_training_epoch = 2;
  run.runtime.generation_batch_size = 16;
  run.runtime.output_dir = "/out";
  run.models["policy"].trainable = true;
  run.models["generator"].generation_batch_size = -1;
  run.models["reference"].free_memory = true;
  run.links["weights"].source = "policy";
  run.links["weights"].destination = "generator";

  engine::Options const apart = engine::options_of(run);
  CHECK(apart.episodes == 12);
  CHECK(apart.episodes_ahead == 1);
  CHECK(apart.max_version_lag == 1);
  CHECK(apart.save_every == 3);
  CHECK(apart.checkpoints == run.runtime.checkpoint_directory());
  CHECK(apart.evaluate_every == 4);
  CHECK(apart.offload);
  CHECK(engine::stage_options_of(run, "generator").batch == 0);
  CHECK(engine::stage_options_of(run, "reference").batch == 16);
  engine::TrainOptions const train = engine::train_options_of(run);
  CHECK(train.global_batch == 64);
  CHECK(train.micro_batch == 8);
  CHECK(train.shuffle == engine::Shuffle::micro_batches);

  CHECK(train.replay_episodes == 1);
  CHECK(!engine::stage_options_of(run, "generator").save_outputs);
  CHECK(apart.stage_outputs.empty());

  run.runtime.max_relay_episode = 3;
  run.runtime.relay_episode_offset = 2;
  run.models["generator"].enable_stage_resume = true;
  run.runtime.data_checkpoint_path = "/data";
  CHECK(engine::train_options_of(run).replay_episodes == 3);
  CHECK(engine::train_options_of(run).replay_from == 2);
  CHECK(engine::stage_options_of(run, "generator").save_outputs);
  CHECK(engine::options_of(run).stage_outputs == "/data/stages");

  run.runtime.colocation = {{"policy", "generator", "reference"}};
  CHECK(engine::options_of(run).episodes_ahead == 0);
  run.runtime.colocation = {{"policy", "generator"}};  // the reference apart does not generate
  CHECK(engine::options_of(run).episodes_ahead == 0);
  run.links["weights"].frequency = 2;
  CHECK(engine::options_of(run).max_version_lag == 3);
  run.links["weights"].frequency.reset();
  run.runtime.colocation = {{"policy", "reference"}};
  run.runtime.max_version_lag = 0;
  CHECK(engine::options_of(run).episodes_ahead == 0);
  run.runtime.save_episode_interval = 0;
  CHECK(engine::options_of(run).save_every == 0);
  CHECK(!engine::options_of(run).checkpoints.empty());  // to resume from
  run.runtime.enable_resume_training = false;
  CHECK(engine::options_of(run).checkpoints.empty());
  CHECK_THROWS_AS(static_cast<void>(engine::stage_options_of(run, "critic")), rlhf::Error);
}
