// Prompts through a module: shares by data index, state and resume.
#include <rlhf/rlhf.hpp>

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <archetypes/policies.hpp>

namespace {

using rlhf::Layout;
using rlhf::Mesh;
using rlhf::data::Draw;
using rlhf::data::SamplerOptions;

using Mixed = rlhf::data::Mixture<rlhf::data::Ratios<3, 1>>;

template <class Data, class Parallel = rlhf::Grid<Layout{.tensor = 2, .data = 2}>>
struct Model : rlhf::Module<Parallel, rlhf::sync::None, Data> {
  using rlhf::Module<Parallel, rlhf::sync::None, Data>::Module;
  void setup() {}
};
using Mixes = Model<Mixed>;

SamplerOptions options() {
  return {.dataset_sizes = {7, 5}, .samples_per_episode = 12, .repeats = 2, .seed = 3};
}
template <class M>
std::vector<Draw> draw(M& model) {
  std::vector<Draw> out{Draw{9, 9, 9}};  // replaced, not appended to
  model.draw(out);
  return out;
}

TEST_CASE("ranks of one replica draw the same, replicas draw shares of one episode") {
  rlhf::data::SamplerOptions whole = options();
  auto sampler = rlhf::data::make_sampler<Mixed>(whole);
  std::vector<Mixes> ranks;
  for (int rank = 0; rank < 4; ++rank) {
    ranks.emplace_back(Mesh::range(10, 4), 10 + rank);
    ranks.back().open_data(options());
  }
  for (int episode = 0; episode < 5; ++episode) {
    std::vector<Draw> expected;
    sampler.next(0, 1, expected);
    std::vector<std::vector<Draw>> drawn;
    for (Mixes& rank : ranks) {
      drawn.push_back(draw(rank));
    }
    CHECK(drawn[0] == drawn[1]);  // tensor ranks of data index 0
    CHECK(drawn[2] == drawn[3]);
    std::vector<Draw> together = drawn[0];
    together.insert(together.end(), drawn[2].begin(), drawn[2].end());
    CHECK(together == expected);
  }
}

TEST_CASE("a resumed module draws what it would have drawn") {
  for (int stop = 0; stop < 6; ++stop) {
    Mixes whole(Mesh::range(0, 4), 2);
    whole.open_data(options());
    Mixes first(Mesh::range(0, 4), 2);
    first.open_data(options());
    for (int episode = 0; episode < stop; ++episode) {
      CHECK(draw(first) == draw(whole));
    }
    rlhf::data::SamplerState const state = first.data_state();
    CHECK(state.consumed == 12 * stop);

    Mixes second(Mesh::range(0, 4), 2);
    second.open_data(options());
    second.restore_data(state);
    Mixes third(Mesh::range(0, 4), 2);
    SamplerOptions from_there = options();
    from_there.consumed = state.consumed;
    third.open_data(from_there);
    for (int episode = stop; episode < stop + 5; ++episode) {
      std::vector<Draw> const expected = draw(whole);
      CHECK(draw(second) == expected);
      CHECK(draw(third) == expected);
    }
  }
}

TEST_CASE("a resumed module may have another number of replicas") {
  using Wide = Model<Mixed, rlhf::Grid<Layout{.data = Layout::any}>>;
  Wide one(Mesh::range(0, 1), 0);
  one.open_data(options());
  draw(one);
  rlhf::data::SamplerState const state = one.data_state();
  std::vector<Draw> const expected = draw(one);
  std::vector<Draw> together;
  for (int rank = 0; rank < 3; ++rank) {
    Wide part(Mesh::range(0, 3), rank);
    part.open_data(options());
    part.restore_data(state);
    std::vector<Draw> const share = draw(part);
    together.insert(together.end(), share.begin(), share.end());
  }
  CHECK(together == expected);
}

TEST_CASE("a state of other data is refused, unless the change is named") {
  Mixes model(Mesh::range(0, 4), 0);
  model.open_data(options());
  std::vector<Draw> const before = draw(model);
  rlhf::data::SamplerState state = model.data_state();
  state.dataset_sizes[0] = 8;
  try {
    model.restore_data(state);
    FAIL_CHECK("no error");
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    CHECK(std::string(error.what()).find("size of dataset 0 was 8, is 7") != std::string::npos);
  }
  model.restore_data(state, {.dataset_sizes = true});
  CHECK(model.data_state().consumed == 12);
}

TEST_CASE("data is opened before it is drawn") {
  Mixes model(Mesh::range(0, 4), 0);
  std::vector<Draw> out;
  CHECK_THROWS_AS(model.draw(out), rlhf::Error);
  CHECK_THROWS_AS(static_cast<void>(model.data_state()), rlhf::Error);
  CHECK_THROWS_AS(model.restore_data({}), rlhf::Error);
  CHECK_THROWS_AS(model.open_data({.dataset_sizes = {7}, .samples_per_episode = 12}), rlhf::Error);
  SamplerOptions other = options();
  other.ratios = {1, 3};
  CHECK_THROWS_AS(model.open_data(other), rlhf::Error);  // the policy says 3, 1
  model.open_data(options());
  CHECK(draw(model).size() == 6);
}

TEST_CASE("opening data again starts anew") {
  Mixes model(Mesh::range(0, 4), 0);
  model.open_data(options());
  std::vector<Draw> const first = draw(model);
  draw(model);
  model.open_data(options());
  CHECK(draw(model) == first);
}

TEST_CASE("a rank that the mesh leaves out draws nothing and stays in step") {
  Mixes absent(Mesh::range(0, 4), 9);
  Mixes present(Mesh::range(0, 4), 1);
  absent.open_data(options());
  present.open_data(options());
  std::vector<Draw> out{Draw{}};
  std::vector<Draw> own;
  for (int episode = 0; episode < 3; ++episode) {
    CHECK(absent.draw(out) == options().samples_per_episode);
    CHECK(present.draw(own) == options().samples_per_episode);
    CHECK(out.empty());
    CHECK(absent.data_state() == present.data_state());
  }
}

TEST_CASE("ratios known late, and a policy that a user wrote") {
  Model<rlhf::data::RuntimeMixture<>> late(Mesh::range(0, 4), 0);
  SamplerOptions with_ratios = options();
  with_ratios.ratios = {3, 1};
  late.open_data(with_ratios);
  Mixes early(Mesh::range(0, 4), 0);
  early.open_data(options());
  CHECK(draw(late) == draw(early));

  Model<archetype::Draws, rlhf::Grid<>> own(Mesh::range(0, 1), 0);
  own.open_data({.dataset_sizes = {4, 3}, .samples_per_episode = 6});
  std::vector<Draw> const drawn = draw(own);
  std::vector<Draw> const expected{{0, 3, 0}, {0, 2, 1}, {1, 2, 2},
                                   {0, 1, 3}, {0, 0, 4}, {1, 1, 5}};
  CHECK(drawn == expected);
}

}  // namespace
