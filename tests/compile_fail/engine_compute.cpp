// expected-error: [rlhf:engine.compute] a compute takes a function
// A generic lambda does not say which values it wants.
#include "engine_program.hpp"

int main() {
  rlhf::Mesh const mesh = rlhf::Mesh::range(0, 1);
  rlhf::comm::run_local(1, [&](rlhf::comm::Local world) {
    Generator generator(mesh, 0);
    Trainer trainer(mesh, 0);
#ifdef RLHF_CONTROL
    auto const judge = [](Answers const& answers) noexcept { return Rewards{answers.column}; };
#else
    auto const judge = [](auto const& answers) noexcept { return Rewards{answers.column}; };
#endif
    run(world, engine::prompts("prompts", generator, ask), engine::stage("generate", generator),
        engine::compute("judge", trainer, judge), engine::train("train", trainer));
  });
  return 0;
}
