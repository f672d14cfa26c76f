// expected-error: [rlhf:engine.train_batch] a model's TrainBatch (or Batch) must be constructible
// max-errors: 1
// A trainer whose batch is not made of what it is trained on.
#include "engine_program.hpp"

struct Learner : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using TrainInputs = rlhf::Inputs<Prompts, Answers>;
  struct TrainBatch {
#ifdef RLHF_CONTROL
    TrainBatch(Prompts const&, Answers const&) {}
#else
    explicit TrainBatch(Answers const&) {}
#endif
  };
  float train_step(std::span<TrainBatch const>, rlhf::Step) {
    return 0;
  }
};

int main() {
  rlhf::Mesh const mesh = rlhf::Mesh::range(0, 1);
  rlhf::comm::run_local(1, [&](rlhf::comm::Local world) {
    Generator generator(mesh, 0);
    Learner learner(mesh, 0);
    run(world, engine::prompts("prompts", generator, ask), engine::stage("generate", generator),
        engine::train("train", learner));
  });
  return 0;
}
