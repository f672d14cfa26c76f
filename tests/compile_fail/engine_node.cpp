// expected-error: [rlhf:engine.node] an engine is made of engine::prompts, stage, compute, train
// and sync max-errors: 1 A model where a part is wanted.
#include "engine_program.hpp"

int main() {
  rlhf::Mesh const mesh = rlhf::Mesh::range(0, 1);
  rlhf::comm::run_local(1, [&](rlhf::comm::Local world) {
    Generator generator(mesh, 0);
    Reward reward(mesh, 0);
    Trainer trainer(mesh, 0);
    run(world, engine::prompts("prompts", generator, ask), engine::stage("generate", generator),
#ifdef RLHF_CONTROL
        engine::stage("reward", reward),
#else
        reward,
#endif
        engine::train("train", trainer));
  });
  return 0;
}
