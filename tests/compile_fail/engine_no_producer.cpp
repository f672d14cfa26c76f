// expected-error: [rlhf:engine.no_producer] a stage needs a value that no stage makes
// max-errors: 1
// Nobody makes the rewards that are trained on.
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

#endif
        engine::train("train", trainer));
  });
  return 0;
}
