// expected-error: [rlhf:engine.output] what a stage returns must list its columns
// max-errors: 1
// A stage returns a number.
#include "engine_program.hpp"

using Number = Model<Answers, float>;

int main() {
  rlhf::Mesh const mesh = rlhf::Mesh::range(0, 1);
  rlhf::comm::run_local(1, [&](rlhf::comm::Local world) {
    Generator generator(mesh, 0);
    Reward reward(mesh, 0);
    Number number(mesh, 0);
    static_cast<void>(number);
    Trainer trainer(mesh, 0);
    run(world, engine::prompts("prompts", generator, ask), engine::stage("generate", generator),
#ifdef RLHF_CONTROL
        engine::stage("reward", reward),
#else
        engine::stage("reward", reward), engine::stage("number", number),
#endif
        engine::train("train", trainer));
  });
  return 0;
}
