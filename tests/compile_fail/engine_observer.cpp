// expected-error: [rlhf:engine.observer] an observer's evaluate is called as
// It would never be called: episodes have a type.
#include "engine_program.hpp"

struct Watch {
#ifdef RLHF_CONTROL
  void evaluate(rlhf::Episode) {}
#else
  void evaluate(std::int64_t) {}
#endif
  bool finished = false;  // data may be called as it likes
};

int main() {
  rlhf::Mesh const mesh = rlhf::Mesh::range(0, 1);
  rlhf::comm::run_local(1, [&](rlhf::comm::Local world) {
    Generator generator(mesh, 0);
    Reward reward(mesh, 0);
    Trainer trainer(mesh, 0);
    rlhf::Engine loop(world, {.evaluate_every = 1}, engine::prompts("prompts", generator, ask),
                      engine::stage("generate", generator), engine::stage("judge", reward),
                      engine::train("train", trainer));
    loop.run(Watch{});
  });
  return 0;
}
