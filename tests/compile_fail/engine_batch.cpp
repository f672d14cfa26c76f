// expected-error: [rlhf:engine.batch] a model's Batch must be constructible from the values that
// its Inputs max-errors: 1 A batch that is not made of the inputs.
#include "engine_program.hpp"

struct Judge : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Inputs = rlhf::Inputs<Prompts, Answers>;
  struct Batch {
#ifdef RLHF_CONTROL
    Batch(Prompts const&, Answers const&) {}
#else
    explicit Batch(Answers const&) {}
#endif
  };
  Rewards forward_step(Batch const&, rlhf::Step) {
    return {};
  }
};

int main() {
  rlhf::Mesh const mesh = rlhf::Mesh::range(0, 1);
  rlhf::comm::run_local(1, [&](rlhf::comm::Local world) {
    Generator generator(mesh, 0);
    Judge judge(mesh, 0);
    Trainer trainer(mesh, 0);
    run(world, engine::prompts("prompts", generator, ask), engine::stage("generate", generator),
#ifdef RLHF_CONTROL
        engine::stage("judge", judge),
#else
        engine::stage("judge", judge),
#endif
        engine::train("train", trainer));
  });
  return 0;
}
