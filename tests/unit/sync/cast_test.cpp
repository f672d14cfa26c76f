// Weights that change type on the way, under every verification: all pairs of f32, bf16 and f16,
// with values that lose bits, infinities, NaN and subnormals.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>
#include <rlhf/tensor/cast.hpp>

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/spy.hpp"
#include "ranks/world.hpp"

using rlhf::DType;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Version;
using rlhf::comm::Local;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;

constexpr int columns = 23;  // 8 x 23 x 4 bytes: 736

/// Two tensors of 8 rows, one cut by rows and one by columns, of any type; a third stays f32, so
/// that types meet in a bucket.
struct Endpoint {
  using SyncPolicy = sync::Reshard<512_B>;
  Mesh where;
  Layout cut;
  DType dtype;
  std::vector<std::byte> rows = std::vector<std::byte>(736, std::byte{0x5A});
  std::vector<std::byte> wide = rows;
  std::vector<std::byte> plain = rows;

  [[nodiscard]] Mesh const& mesh() const noexcept { return where; }
  [[nodiscard]] Layout layout() const noexcept { return cut; }
  template <class Visit>
  void parameters(Visit&& visit) {
    int const part = 8 / cut.tensor;
    visit("rows", view_of(rows, dtype, {part, columns}), rlhf::shard::rows());
    visit("wide", view_of(wide, dtype, {columns, part}), rlhf::shard::columns());
    visit("plain", view_of(plain, DType::f32, {part, columns}), rlhf::shard::rows());
  }
  [[nodiscard]] static rlhf::TensorView view_of(std::vector<std::byte>& memory, DType dtype,
                                                rlhf::Shape const& shape) {
    rlhf::TensorView view;
    view.data = memory.data();
    view.dtype = dtype;
    view.shape = shape;
    view.strides = rlhf::row_major_strides(shape);
    return view;
  }
  void fill(int rank) {
    float const odd[] = {std::numeric_limits<float>::quiet_NaN(),
                         -std::numeric_limits<float>::infinity(),
                         -0.0F,
                         1e-40F,
                         6.1e-5F,
                         6e-8F,
                         65519.0F,
                         65520.0F,
                         3.3e38F,
                         -1.0078125F,
                         1.00390625F,
                         1.0009765F};
    for (auto* const memory : {&rows, &wide, &plain}) {
      DType const type = memory == &plain ? DType::f32 : dtype;
      for (int i = 0; i < 8 / cut.tensor * columns; ++i) {
        float const value =
            i % 3 == 0 ? odd[i / 3 % 12]
                       : (0.7F + 0.01234F * static_cast<float>(i + rank)) * (i % 7 == 0 ? 1e5F : 1);
        rlhf::detail::put_float(type, memory->data() + i * rlhf::size_of(type), value);
      }
    }
  }
};

constexpr DType types[] = {DType::f32, DType::bf16, DType::f16};

/// Syncs two ranks into two others, or into the same and two more, and calls
/// `after(link, destination, rank)`; what went wrong.
template <class World, class After>
std::string sync_pair(DType from, DType to, bool apart, sync::Verification how, After after) {
  ranks::WorldEnd const end = ranks::run_world(4, [&](Local& local) {
    ranks::Ledger ledger;
    World world = [&] {
      if constexpr (std::is_same_v<World, Local>) {
        return std::move(local);
      } else {
        return World(std::move(local), ledger);
      }
    }();
    int const rank = world.rank();
    Endpoint source{Mesh::range(0, 2), Layout{.tensor = 2}, from};
    Endpoint destination{apart ? Mesh::range(2, 2) : Mesh::range(0, 4),
                         apart ? Layout{.tensor = 2} : Layout{.tensor = 4}, to};
    source.fill(rank);
    sync::LinkOptions options;
    options.verification = how;
    sync::Link link(world, source, destination, options);
    link.sync(Version{1});
    after(link, destination, rank);
  });
  return end.world.text;
}

}  // namespace

TEST_CASE("each pair of types is what was sent, under every verification, staged and as it lies") {
  auto const no_more = [](auto& link, auto&, int) {
    CHECK(link.version() == Version{1});
    CHECK(link.fingerprints(sync::Side::source) == link.fingerprints(sync::Side::destination));
  };
  for (DType const from : types) {
    for (DType const to : types) {
      for (bool const apart : {true, false}) {
        for (auto const how : {sync::Verification::fingerprint, sync::Verification::full}) {
          CAPTURE(rlhf::to_string(from));
          CAPTURE(rlhf::to_string(to));
          CAPTURE(apart);
          CHECK(sync_pair<Local>(from, to, apart, how, no_more).empty());
          CHECK(sync_pair<ranks::Spy>(from, to, apart, how, no_more).empty());
        }
      }
    }
  }
}

TEST_CASE("a bit that differs is found in each pair of types, the lowest one too") {
  for (DType const from : types) {
    for (DType const to : types) {
      for (std::size_t const byte : {0U, 1U}) {
        std::atomic<int> found{0};
        std::string const end = sync_pair<ranks::Spy>(
            from, to, true, sync::Verification::full, [&](auto& link, auto& destination, int rank) {
              if (rank == 3) {
                destination.wide[40 * static_cast<std::size_t>(rlhf::size_of(to)) + byte] ^=
                    std::byte{1};
              }
              try {
                link.verify(sync::Verification::full);
              } catch (rlhf::Error const& error) {
                bool const named = std::string(error.what()).find("wide") != std::string::npos;
                found += error.code() == rlhf::Errc::corrupted && error.rank() == 3 &&
                                 named == (rank == 3)
                             ? 1
                             : 0;
              }
            });
        CHECK(end.empty());
        CHECK(found == 4);
      }
    }
  }
}
