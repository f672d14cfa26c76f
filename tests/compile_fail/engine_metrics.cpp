// expected-error: [rlhf:engine.metrics] metrics(visit) of what a train_step returns must be const
// Results are only looked at, so that these would be no metrics.
#include "engine_program.hpp"

struct Losses {
  template <class Visit>
#ifdef RLHF_CONTROL
  void metrics(Visit&& visit) const {
#else
  void metrics(Visit&& visit) {
#endif
      visit("loss", 1.0);
}
}
;
struct Learner : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = Answers;
  Losses train_step(std::span<Batch const>, rlhf::Step) { return {}; }
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
