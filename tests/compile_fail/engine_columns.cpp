// expected-error: [rlhf:engine.columns] a value that passes between stages must list columns of
// A column of lists, which has no form in bytes.
#include "engine_program.hpp"

struct Nested {
#ifdef RLHF_CONTROL
  rlhf::data::Rows<float> lists;
#else
  std::vector<std::vector<float>> lists;
#endif
  template <class Visit>
  void columns(Visit&& visit) {
    visit("lists", lists);
  }
};
struct Learner : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = Nested;
  float train_step(std::span<Batch const>, rlhf::Step) { return 0; }
};

int main() {
  rlhf::Mesh const mesh = rlhf::Mesh::range(0, 1);
  rlhf::comm::run_local(1, [&](rlhf::comm::Local world) {
    Generator generator(mesh, 0);
    Model<Answers, Nested> judge(mesh, 0);
    Learner learner(mesh, 0);
    run(world, engine::prompts("prompts", generator, ask), engine::stage("generate", generator),
        engine::stage("judge", judge), engine::train("train", learner));
  });
  return 0;
}
