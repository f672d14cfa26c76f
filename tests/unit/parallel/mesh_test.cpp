#include <rlhf/comm/local_world.hpp>
#include <rlhf/parallel/mesh.hpp>

#include <string>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Error;
using rlhf::Mesh;

TEST_CASE("a mesh maps module ranks to world ranks and back") {
  Mesh const mesh({5, 2, 7});
  CHECK(mesh.size() == 3);
  CHECK(mesh.world_rank(0) == 5);
  CHECK(mesh.world_rank(2) == 7);
  for (int rank = 0; rank < 3; ++rank) {
    CHECK(mesh.rank_of(mesh.world_rank(rank)) == rank);
  }
  CHECK(mesh.rank_of(0) == -1);
  CHECK(mesh.rank_of(-1) == -1);
  CHECK(Mesh::range(3, 4) == Mesh({3, 4, 5, 6}));
  CHECK(mesh != Mesh({2, 5, 7}));
  CHECK(Mesh().size() == 0);
  CHECK(Mesh().rank_of(0) == -1);
}

TEST_CASE("lists that are no meshes are refused") {
  CHECK_THROWS_AS(Mesh(std::vector<int>{}), Error);
  CHECK_THROWS_AS(Mesh({0, -1}), Error);
  CHECK_THROWS_AS(static_cast<void>(Mesh::range(0, 0)), Error);
  CHECK_THROWS_AS(static_cast<void>(Mesh::range(-1, 2)), Error);
  try {
    static_cast<void>(Mesh({4, 1, 3, 1}));
    FAIL("nothing was thrown");
  } catch (Error const& error) {
    CHECK(std::string(error.what()).find("world rank 1 twice") != std::string::npos);
  }
}

TEST_CASE("the module's communicator has its ranks in mesh order, others get an empty one") {
  rlhf::comm::run_local(4, [](rlhf::comm::Local world) {
    Mesh const mesh({3, 0, 2});
    rlhf::comm::Local module_comm = rlhf::module_communicator(world, mesh);
    CHECK(module_comm.size() == (world.rank() == 1 ? 0 : 3));
    if (world.rank() != 1) {
      CHECK(module_comm.rank() == mesh.rank_of(world.rank()));
      int value = world.rank();
      module_comm.broadcast(&value, 1, rlhf::DType::i32, 0);
      CHECK(value == 3);
    }
  });
}

TEST_CASE("a mesh that reaches beyond the world is refused before anybody waits") {
  rlhf::comm::run_local(2, [](rlhf::comm::Local world) {
    try {
      static_cast<void>(rlhf::module_communicator(world, Mesh({0, 2})));
      CHECK_MESSAGE(false, "nothing was thrown");
    } catch (Error const& error) {
      CHECK(std::string(error.what()).find("world rank 2") != std::string::npos);
      CHECK(std::string(error.what()).find("2 ranks") != std::string::npos);
    }
  });
}
