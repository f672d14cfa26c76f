// What a program does with a model. Where a policy or a hook is wrong, none of this may add an
// error to the one that says so.
#pragma once

#include <rlhf/module/describe.hpp>
#include <rlhf/module/hooks.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>

#include <span>
#include <string>
#include <vector>

/// Makes a model on four ranks and calls what every program may call.
template <class Model>
int use(Model& model) {
  rlhf::hook::setup(model);
  rlhf::hook::validate(model);
  rlhf::hook::before_episode(model);
  rlhf::hook::after_episode(model);
  rlhf::hook::save_checkpoint(model);
  rlhf::hook::load_checkpoint(model, rlhf::Step{3});
  model.resume(model.step(), model.episode());
  rlhf::Layout const layout = model.layout();
  rlhf::Coordinate const at = model.coordinate();
  std::string const line = rlhf::describe(model);
  return static_cast<int>(line.size()) + layout.tensor + at.data + model.rank() +
         model.mesh().size() + (model.present() ? 1 : 0);
}
template <class Model>
int use() {
  Model model(rlhf::Mesh::range(0, 4), 0);
  return use(model);
}

/// The same with what a model that draws prompts offers.
template <class Model>
int use_with_data() {
  Model model(rlhf::Mesh::range(0, 4), 0);
  model.open_data({.dataset_sizes = {8, 8}, .samples_per_episode = 4});
  std::vector<rlhf::data::Draw> prompts;
  model.draw(prompts);
  model.restore_data(model.data_state());
  return use(model) + static_cast<int>(prompts.size());
}
