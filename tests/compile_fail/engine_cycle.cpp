// expected-error: [rlhf:engine.cycle] stages wait for each other in a circle
// max-errors: 1
// The reward needs a value of what comes of it.
#include "engine_program.hpp"

using Later = Value<3>;
struct Circular : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Inputs = rlhf::Inputs<Answers, Later>;
  struct Batch {
    Batch(Answers const&, Later const&) {}
  };
  Rewards forward_step(Batch const&, rlhf::Step) { return {}; }
};
using Next = Model<Rewards, Later>;

int main() {
  rlhf::Mesh const mesh = rlhf::Mesh::range(0, 1);
  rlhf::comm::run_local(1, [&](rlhf::comm::Local world) {
    Generator generator(mesh, 0);
    Reward reward(mesh, 0);
    Circular circular(mesh, 0);
    Next next(mesh, 0);
    static_cast<void>(circular);
    Trainer trainer(mesh, 0);
    run(world, engine::prompts("prompts", generator, ask), engine::stage("generate", generator),
#ifdef RLHF_CONTROL
        engine::stage("reward", reward), engine::stage("next", next),
#else
        engine::stage("circular", circular), engine::stage("next", next),
#endif
        engine::train("train", trainer));
  });
  return 0;
}
