// expected-error: [rlhf:engine.prompts] an engine needs exactly one engine::prompts
// max-errors: 1
// Nobody draws prompts.
#include "engine_program.hpp"

int main() {
  rlhf::Mesh const mesh = rlhf::Mesh::range(0, 1);
  rlhf::comm::run_local(1, [&](rlhf::comm::Local world) {
    Generator generator(mesh, 0);
#ifdef RLHF_CONTROL
    run(world, engine::prompts("prompts", generator, ask), engine::stage("generate", generator));
#else
    run(world, engine::compute("prompts", generator, [] { return Prompts{}; }),
        engine::stage("generate", generator));
#endif
  });
  return 0;
}
