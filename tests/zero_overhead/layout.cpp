// Layouts: a static grid is its constants, a run-time layout is the arithmetic written out.
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/layout.hpp>

#include <cstdint>
#include <vector>

using Fixed = rlhf::Module<rlhf::Grid<rlhf::Layout{.tensor = 2, .pipeline = 4, .data = 3}>>;
using Open = rlhf::Module<rlhf::Grid<rlhf::Layout{.tensor = 2, .data = rlhf::Layout::any}>>;
using Late = rlhf::Module<rlhf::RuntimeGrid>;

struct Sizes {
  int tensor, pipeline, expert, data, fsdp, zero;
};
struct Place {
  int tensor, expert, sharded, data, pipeline;
};
struct ByHand {
  std::vector<int> ranks;
  std::int64_t step;
  std::int64_t episode;
  int rank;
};
struct LateByHand {
  Sizes sizes;
  std::vector<int> ranks;
  std::int64_t step;
  std::int64_t episode;
  int rank;
};

extern "C" {

int library_fixed_tensor(Fixed const& model) {
  return model.layout().tensor;
}
int by_hand_fixed_tensor(ByHand const&) {
  return 2;
}
int library_fixed_ranks(Fixed const& model) {
  return model.layout().ranks();
}
int by_hand_fixed_ranks(ByHand const&) {
  return 24;
}
int library_fixed_data_index(Fixed const& model) {
  return model.coordinate().data;
}
int by_hand_fixed_data_index(ByHand const& model) {
  return model.rank / 2 % 3;
}
void library_fixed_coordinate(Fixed const& model, rlhf::Coordinate& out) {
  out = model.coordinate();
}
void by_hand_fixed_coordinate(ByHand const& model, Place& out) {
  int rank = model.rank;
  Place at{};
  at.tensor = rank % 2;
  rank /= 2;
  at.data = rank % 3;
  at.pipeline = rank / 3;
  out = at;
}
int library_fixed_rank_of(Fixed const& model, int tensor, int data, int pipeline) {
  return model.layout().rank({.tensor = tensor, .data = data, .pipeline = pipeline});
}
int by_hand_fixed_rank_of(ByHand const&, int tensor, int data, int pipeline) {
  return (pipeline * 3 + data) * 2 + tensor;
}
bool library_present(Fixed const& model) {
  return model.present();
}
bool by_hand_present(ByHand const& model) {
  return model.rank >= 0;
}

int library_open_data(Open const& model) {
  return model.layout().data;
}
int by_hand_open_data(ByHand const& model) {
  return static_cast<int>(model.ranks.size()) / 2;
}

int library_late_tensor(Late const& model) {
  return model.layout().tensor;
}
int by_hand_late_tensor(LateByHand const& model) {
  return model.sizes.tensor;
}

int library_rank(rlhf::Layout const& layout, rlhf::Coordinate const& at) {
  return layout.rank(at);
}
int by_hand_rank(Sizes const& sizes, Place const& at) {
  return (((at.pipeline * sizes.data + at.data) * (sizes.fsdp * sizes.zero) + at.sharded) *
              sizes.expert +
          at.expert) *
             sizes.tensor +
         at.tensor;
}
void library_coordinate(rlhf::Layout const& layout, int rank, rlhf::Coordinate& out) {
  out = layout.coordinate(rank);
}
void by_hand_coordinate(Sizes const& sizes, int rank, Place& out) {
  Place at{};
  at.tensor = rank % sizes.tensor;
  rank /= sizes.tensor;
  at.expert = rank % sizes.expert;
  rank /= sizes.expert;
  at.sharded = rank % (sizes.fsdp * sizes.zero);
  rank /= sizes.fsdp * sizes.zero;
  at.data = rank % sizes.data;
  at.pipeline = rank / sizes.data;
  out = at;
}
}
