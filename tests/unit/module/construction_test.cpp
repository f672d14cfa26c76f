// Modules on meshes: ranks, coordinates, layouts known early and late, and the errors of those that
// do not fit.
#include <rlhf/rlhf.hpp>

#include <string>

#include <doctest/doctest.h>

namespace {

using rlhf::Coordinate;
using rlhf::Errc;
using rlhf::Error;
using rlhf::Grid;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Module;
using rlhf::RuntimeGrid;

/// The code of the error that `call` throws, and its text; fails the test where it throws none.
template <class Call>
std::string error_of(Errc code, Call&& call) {
  try {
    call();
  } catch (Error const& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  FAIL_CHECK("no error");
  return {};
}
bool has(std::string const& text, char const* part) {
  bool const found = text.find(part) != std::string::npos;
  CHECK_MESSAGE(found, text << " does not contain " << part);
  return found;
}

struct Actor : Module<Grid<Layout{.tensor = 2, .pipeline = 2, .data = 2}, 8>> {
  using Module::Module;
  void setup() {}
};
struct Generator : Module<Grid<Layout{.tensor = 2, .data = Layout::any}>> {
  using Module::Module;
  void setup() {}
};
struct Late : Module<RuntimeGrid, rlhf::sync::Broadcast<>> {
  using Module::Module;
  void setup() {}
};

TEST_CASE("a module knows its place on every axis") {
  for (int rank = 0; rank < 8; ++rank) {
    Actor const actor(Mesh::range(0, 8), rank);
    CHECK(actor.present());
    CHECK(actor.rank() == rank);
    Coordinate const at = actor.coordinate();
    CHECK(at.tensor == rank % 2);
    CHECK(at.data == rank / 2 % 2);
    CHECK(at.pipeline == rank / 4);
    CHECK(at.expert == 0);
    CHECK(at.sharded == 0);
    CHECK(actor.layout().rank(at) == rank);
  }
}

TEST_CASE("a mesh is any list of world ranks, in the module's own order") {
  Mesh const mesh({11, 3, 7, 5, 2, 19, 13, 17});
  Actor const actor(mesh, 7);
  CHECK(actor.rank() == 2);
  CHECK(actor.mesh() == mesh);
  CHECK(actor.mesh().world_rank(2) == 7);
  CHECK(actor.coordinate() == Layout(actor.layout()).coordinate(2));
}

TEST_CASE("a rank outside the mesh has a module that is absent") {
  Actor const actor(Mesh::range(4, 8), 3);
  CHECK_FALSE(actor.present());
  CHECK(actor.rank() == -1);
  CHECK(actor.layout().ranks() == 8);  // for collective calls
  CHECK(rlhf::describe(actor).find("here absent") != std::string::npos);
}

TEST_CASE("an open data axis takes what the mesh has") {
  CHECK(Generator(Mesh::range(0, 2), 0).layout().data == 1);
  Generator const generator(Mesh::range(4, 6), 9);
  CHECK(generator.layout() == Layout{.tensor = 2, .data = 3});
  CHECK(generator.coordinate().data == 2);
  CHECK(generator.coordinate().tensor == 1);
}

TEST_CASE("a layout that does not fit the mesh is an error that says what to do") {
  std::string const seven =
      error_of(Errc::incompatible_policy, [] { Actor(Mesh::range(0, 7), 0); });
  has(seven, "needs a multiple of 4 ranks");
  has(seven, "got 7");
  std::string const four = error_of(Errc::incompatible_policy, [] { Actor(Mesh::range(0, 4), 0); });
  has(four, "is for 8 ranks, got 4");
  has(four, "set data=1 or data=any");
  std::string const odd =
      error_of(Errc::incompatible_policy, [] { Generator(Mesh::range(0, 3), 0); });
  has(odd, "tensor=2 data=any");
  has(odd, "got 3");
}

TEST_CASE("a layout that comes late passes the same rules") {
  Late const late(Mesh::range(0, 4), 3, Layout{.tensor = 2, .data = Layout::any});
  CHECK(late.layout() == Layout{.tensor = 2, .data = 2});
  CHECK(late.coordinate() == Coordinate{.tensor = 1, .data = 1});

  has(error_of(Errc::incompatible_policy, [] { Late(Mesh::range(0, 4), 0, Layout{.tensor = 0}); }),
      "at least 1");
  has(error_of(Errc::incompatible_policy,
               [] { Late(Mesh::range(0, 4), 0, Layout{.tensor = 2, .zero = 2}); }),
      "use fsdp=2 instead");
  has(error_of(Errc::incompatible_policy,
               [] { Late(Mesh::range(0, 4), 0, Layout{.fsdp = 2, .zero = 2}); }),
      "set one of them to 1");
  has(error_of(Errc::incompatible_policy, [] { Late(Mesh::range(0, 4), 0, Layout{.tensor = 8}); }),
      "needs 8 ranks for one replica, got 4");
  has(error_of(Errc::incompatible_policy,
               [] { Late(Mesh::range(0, 4), 0, Layout{.pipeline = 3, .data = Layout::any}); }),
      "needs a multiple of 3 ranks");
  // An error leaves nothing behind: the next attempt works.
  CHECK(Late(Mesh::range(0, 4), 0, Layout{.data = Layout::any}).layout().data == 4);
}

TEST_CASE("meshes refuse what is no set of ranks") {
  has(error_of(Errc::invalid_argument,
               [] {
                 Actor(Mesh({0, 1, 2, 3, 4, 5, 6, 6}), 0);
               }),
      "world rank 6 twice");
  has(error_of(Errc::invalid_argument, [] { Actor(Mesh(std::vector<int>{}), 0); }),
      "at least one rank");
  has(error_of(Errc::invalid_argument, [] { Actor(Mesh({-1}), 0); }), "negative");
}

TEST_CASE("describe says the type, the layout, the mesh and the place") {
  Actor const actor(Mesh::range(8, 8), 13);
  std::string const line = rlhf::describe(actor);
  has(line, "Actor: tensor=2 pipeline=2 data=2 on world ranks [8, 9, 10, 11, 12, 13, 14, 15]");
  has(line, "here rank 5 (tensor 1, data 0, pipeline 1)");
  CHECK(line.find('\n') == std::string::npos);
  struct Small : Module<Grid<>> {
    using Module::Module;
  };
  has(rlhf::describe(Small(Mesh::range(2, 1), 2)), "one rank on world ranks [2], here rank 0");
}

TEST_CASE("copies and moves keep a module's place") {
  Late original(Mesh::range(2, 4), 4, Layout{.tensor = 2, .data = 2});
  original.resume(rlhf::Step{7}, rlhf::Episode{3});
  Late const copy = original;
  CHECK(copy.mesh() == original.mesh());
  Late const moved = std::move(original);
  CHECK(moved.rank() == 2);
  CHECK(moved.layout() == copy.layout());
  CHECK(moved.step() == rlhf::Step{7});
  CHECK(moved.episode() == rlhf::Episode{3});
}

}  // namespace
