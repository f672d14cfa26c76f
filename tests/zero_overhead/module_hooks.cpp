// Hooks: the call of the model's function and the count of steps, nothing else; an absent hook is
// nothing at all.
#include <rlhf/module/hooks.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/sync/policies.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// What the model does, in another file.
float train(int const* batches, std::size_t count, std::int64_t step);
int infer(int const& batch, std::int64_t step);
void begin_of(std::int64_t episode);
void end_of(std::int64_t episode);
void save_at(std::int64_t step);

struct Model
    : rlhf::Module<rlhf::Grid<rlhf::Layout{.tensor = 2, .data = 2}>, rlhf::sync::TwoStage<>> {
  using Module::Module;
  using Batch = int;
  float train_step(std::span<int const> batches, rlhf::Step now) {
    return train(batches.data(), batches.size(), now.value);
  }
  int forward_step(int const& batch, rlhf::Step now) { return infer(batch, now.value); }
  void before_episode(rlhf::Episode now) { begin_of(now.value); }
  void after_episode(rlhf::Episode now) { end_of(now.value); }
  void save_checkpoint(rlhf::Step now) { save_at(now.value); }
  float weight;
};

struct ByHand {
  std::vector<int> ranks;
  std::int64_t step;
  std::int64_t episode;
  int rank;
  float weight;
};

// A model that only counts.
struct Quiet : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = int;
  int train_step(std::span<int const> batches, rlhf::Step) {
    return static_cast<int>(batches.size());
  }
};
struct QuietByHand {
  std::vector<int> ranks;
  std::int64_t step;
  std::int64_t episode;
  int rank;
};

extern "C" {

float library_train_step(Model& model, int const* batches, std::size_t count) {
  return rlhf::hook::train_step(model, std::span<int const>(batches, count));
}
float by_hand_train_step(ByHand& model, int const* batches, std::size_t count) {
  float const loss = train(batches, count, model.step);
  ++model.step;
  return loss;
}

int library_forward_step(Model& model, int const* batch) {
  return rlhf::hook::forward_step(model, *batch);
}
int by_hand_forward_step(ByHand& model, int const* batch) {
  return infer(*batch, model.step);
}

void library_before_episode(Model& model) {
  rlhf::hook::before_episode(model);
}
void by_hand_before_episode(ByHand& model) {
  begin_of(model.episode);
}

void library_after_episode(Model& model) {
  rlhf::hook::after_episode(model);
}
void by_hand_after_episode(ByHand& model) {
  end_of(model.episode);
  ++model.episode;
}

void library_save_checkpoint(Model& model) {
  rlhf::hook::save_checkpoint(model);
}
void by_hand_save_checkpoint(ByHand& model) {
  save_at(model.step);
}

// Hooks that the model does not define.
void library_absent_setup(Model& model) {
  rlhf::hook::setup(model);
}
void by_hand_absent_setup(ByHand&) {}
void library_absent_hooks(Quiet& model) {
  rlhf::hook::setup(model);
  rlhf::hook::validate(model);
  rlhf::hook::before_episode(model);
  rlhf::hook::save_checkpoint(model);
  rlhf::hook::load_checkpoint(model, rlhf::Step{1});
}
void by_hand_absent_hooks(QuietByHand&) {}
void library_absent_after_episode(Quiet& model) {
  rlhf::hook::after_episode(model);
}
void by_hand_absent_after_episode(QuietByHand& model) {
  ++model.episode;
}
int library_visible_train_step(Quiet& model, int const* batches, std::size_t count) {
  return rlhf::hook::train_step(model, std::span<int const>(batches, count));
}
int by_hand_visible_train_step(QuietByHand& model, int const*, std::size_t count) {
  ++model.step;
  return static_cast<int>(count);
}

// A whole episode.
float library_episode(Model& model, int const* batches, std::size_t count, int steps) {
  float sum = 0;
  rlhf::hook::setup(model);
  rlhf::hook::before_episode(model);
  for (int i = 0; i < steps; ++i) {
    sum += rlhf::hook::train_step(model, std::span<int const>(batches, count));
  }
  rlhf::hook::after_episode(model);
  rlhf::hook::save_checkpoint(model);
  return sum;
}
float by_hand_episode(ByHand& model, int const* batches, std::size_t count, int steps) {
  float sum = 0;
  begin_of(model.episode);
  for (int i = 0; i < steps; ++i) {
    float const loss = train(batches, count, model.step);
    ++model.step;
    sum += loss;
  }
  end_of(model.episode);
  ++model.episode;
  save_at(model.step);
  return sum;
}
}
