#include <rlhf/parallel/replica.hpp>

#include <doctest/doctest.h>

using rlhf::Error;
using rlhf::Layout;
using rlhf::Replicas;
using rlhf::replicas;
using rlhf::Role;

TEST_CASE("an inference module has num_gpu / (tp pp ep), / zero, or / (tp pp ep fsdp) replicas") {
  int wrong = 0;
  int cases = 0;
  for (int tensor = 1; tensor <= 4; ++tensor) {
    for (int pipeline = 1; pipeline <= 3; ++pipeline) {
      for (int expert = 1; expert <= 3; ++expert) {
        for (int fsdp = 1; fsdp <= 3; ++fsdp) {
          for (int zero = 1; zero <= 3; ++zero) {
            int const product = tensor * pipeline * expert;
            if (zero > 1 && (fsdp > 1 || product > 1)) {
              continue;
            }
            int const divisor = zero > 1 ? zero : product * fsdp;
            Layout const layout{.tensor = tensor,
                                .pipeline = pipeline,
                                .expert = expert,
                                .data = Layout::any,
                                .fsdp = fsdp,
                                .zero = zero};
            for (int gpus = divisor; gpus <= 6 * divisor; gpus += divisor) {
              Replicas const got = replicas(layout, gpus, Role::inference);
              wrong += got.count == gpus / divisor && got.ranks_each == divisor ? 0 : 1;
              Replicas const trainer = replicas(layout, gpus, Role::trainer);
              wrong += trainer.count == 1 && trainer.ranks_each == gpus ? 0 : 1;
              ++cases;
            }
          }
        }
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(cases > 600);
}

TEST_CASE("numbers of ranks that do not fit are refused for both roles") {
  Layout const layout{.tensor = 4, .data = Layout::any};
  for (Role const role : {Role::trainer, Role::inference}) {
    CHECK_THROWS_AS(static_cast<void>(replicas(layout, 6, role)), Error);
    CHECK_THROWS_AS(static_cast<void>(replicas(layout, 2, role)), Error);
    CHECK_THROWS_AS(static_cast<void>(replicas(Layout{.tensor = 2, .data = 2}, 8, role)), Error);
  }
}

TEST_CASE("the ranks of an inference replica share its data index; a trainer is replica 0") {
  Layout const layout{.tensor = 2, .pipeline = 2, .data = 3};
  Replicas const inference = replicas(layout, 12, Role::inference);
  Replicas const trainer = replicas(layout, 12, Role::trainer);
  int members[3] = {};
  for (int rank = 0; rank < 12; ++rank) {
    ++members[inference.of(layout.coordinate(rank))];
    CHECK(trainer.of(layout.coordinate(rank)) == 0);
  }
  for (int const count : members) {
    CHECK(count == inference.ranks_each);
  }
}
