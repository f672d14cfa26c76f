// What a program does to bring weights from one model into another. Where the pair is wrong, none
// of this may add an error to the one that says so.
#pragma once

#include <rlhf/comm/local.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/sync/link.hpp>

/// A model of those policies that has one parameter.
template <class Parallel, class Sync>
struct ModelOf : rlhf::Module<Parallel, Sync> {
  using rlhf::Module<Parallel, Sync>::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", rlhf::view(weight, {8}), rlhf::shard::rows());
  }
  float weight[8] = {};
};

template <rlhf::Layout L>
using On = rlhf::Grid<L>;

template <class Source, class Destination>
std::int64_t carry(rlhf::comm::Local& world, Source& source, Destination& destination) {
  rlhf::sync::Link link(world, source, destination);
  if (link.due(rlhf::Episode{1})) {
    link.sync(rlhf::Version{1});
  }
  link.verify();
  link.rebind();
  return link.plan().bytes_moved + link.report().bytes + link.staging_bytes() +
         (link.version() ? 1 : 0);
}
template <class Source, class Destination>
std::int64_t carry() {
  rlhf::comm::Local world;
  Source source(rlhf::Mesh::range(0, 4), 0);
  Destination destination(rlhf::Mesh::range(4, 4), 0);
  return carry(world, source, destination);
}
