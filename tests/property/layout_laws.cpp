// Laws of layouts, over all small ones.
#include <rlhf/parallel/groups.hpp>
#include <rlhf/parallel/layout.hpp>

#include <array>

#include <doctest/doctest.h>

using rlhf::Axis;
using rlhf::Coordinate;
using rlhf::Layout;
using rlhf::LayoutFault;

namespace {

constexpr Axis axes[] = {Axis::tensor, Axis::expert, Axis::sharded, Axis::data, Axis::pipeline};

/// Calls `visit` for all layouts with sizes up to `most` and at most `ranks` ranks.
template <class Visit>
int for_each_layout(int most, int ranks, Visit&& visit) {
  int count = 0;
  for (int tensor = 1; tensor <= most; ++tensor) {
    for (int expert = 1; expert <= most; ++expert) {
      for (int sharded = 1; sharded <= most; ++sharded) {
        for (int data = 1; data <= most; ++data) {
          for (int pipeline = 1; pipeline <= most; ++pipeline) {
            if (tensor * expert * sharded * data * pipeline <= ranks) {
              visit(Layout{.tensor = tensor,
                           .pipeline = pipeline,
                           .expert = expert,
                           .data = data,
                           .fsdp = sharded});
              ++count;
            }
          }
        }
      }
    }
  }
  return count;
}

std::array<int, 5> digits(Coordinate const& at) {
  return {at.pipeline, at.data, at.sharded, at.expert, at.tensor};
}

}  // namespace

TEST_CASE("rank and coordinate are inverses, in Megatron's order, for all small layouts") {
  int wrong = 0;
  int const layouts = for_each_layout(5, 96, [&](Layout const& layout) {
    std::array<int, 5> before{0, 0, 0, 0, -1};
    for (int rank = 0; rank < layout.ranks(); ++rank) {
      Coordinate const at = layout.coordinate(rank);
      wrong += layout.rank(at) == rank ? 0 : 1;
      for (Axis const axis : axes) {
        wrong += at.on(axis) >= 0 && at.on(axis) < layout.size(axis) ? 0 : 1;
      }
      // Ranks count like a clock whose slowest hand is the pipeline and whose fastest the tensor.
      wrong += before < digits(at) ? 0 : 1;
      before = digits(at);
    }
  });
  CHECK(wrong == 0);
  CHECK(layouts > 500);
}

TEST_CASE("zero stands where fsdp stands") {
  int wrong = 0;
  for (int size = 1; size <= 6; ++size) {
    for (int data = 1; data <= 4; ++data) {
      Layout const zero{.data = data, .zero = size};
      Layout const fsdp{.data = data, .fsdp = size};
      for (int rank = 0; rank < zero.ranks(); ++rank) {
        wrong += zero.coordinate(rank) == fsdp.coordinate(rank) ? 0 : 1;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("a layout fits a number of ranks exactly when the arithmetic says so") {
  int wrong = 0;
  for_each_layout(4, 32, [&](Layout layout) {
    int const replica = layout.tensor * layout.pipeline * layout.expert * layout.fsdp;
    for (int const data : {layout.data, Layout::any}) {
      layout.data = data;
      for (int count = 0; count <= 40; ++count) {
        bool const fits = count >= replica && count % replica == 0 &&
                          (data == Layout::any || count == replica * data);
        wrong += (layout.fault_on(count) == LayoutFault::none) == fits ? 0 : 1;
        if (fits) {
          Layout const filled = layout.on_ranks(count);
          wrong += filled.ranks() == count && filled.data == count / replica ? 0 : 1;
        } else {
          try {
            static_cast<void>(layout.on_ranks(count));
            ++wrong;
          } catch (rlhf::Error const&) {
          }
        }
      }
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("ranks share a color exactly when they differ in the named axes only") {
  int wrong = 0;
  for_each_layout(3, 24, [&](Layout const& layout) {
    for (Axis const axis : axes) {
      for (Axis const also : {axis, Axis::expert}) {
        for (int a = 0; a < layout.ranks(); ++a) {
          for (int b = 0; b < layout.ranks(); ++b) {
            Coordinate const at_a = layout.coordinate(a);
            Coordinate const at_b = layout.coordinate(b);
            bool together = true;
            for (Axis const other : axes) {
              together =
                  together && (other == axis || other == also || at_a.on(other) == at_b.on(other));
            }
            wrong += (rlhf::color_without(layout, at_a, axis, also) ==
                      rlhf::color_without(layout, at_b, axis, also)) == together
                         ? 0
                         : 1;
          }
        }
      }
    }
  });
  CHECK(wrong == 0);
}
