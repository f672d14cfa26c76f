// Fused tensors: query|key|value of every number of key/value heads over every number of ranks, on
// both sides, and fused experts; against counting heads and rows one by one.
#include <rlhf/parallel/fused.hpp>
#include <rlhf/parallel/on_layout.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/proof.hpp>
#include <rlhf/sync/describe.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "ranks/world.hpp"

using rlhf::Coordinate;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::TensorView;
using rlhf::fused::Heads;
using rlhf::fused::QkvOrder;
namespace plan = rlhf::plan;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;  // here, because <unistd.h> has a function of that name

/// The value of an element of a canonical tensor: tells tensors, rows, columns, versions apart.
std::int32_t value(int tensor, std::int64_t row, std::int64_t column, int version) {
  return static_cast<std::int32_t>(((tensor * 10'000 + row) * 16 + column) * 8 + version);
}
constexpr std::int32_t nothing = -7;

/// A row of a fused tensor: of which tensor (0 query, 1 key, 2 value), and which row.
struct Row {
  int tensor = 0;
  std::int64_t row = 0;
};

/// The rows of rank `rank` of `ranks`, found head by head: a rank has the query heads of its share,
/// and the key/value heads that these attend to.
std::vector<Row> rows_of(Heads const& heads, int ranks, int rank, QkvOrder order) {
  std::vector<std::int64_t> query;
  std::vector<std::int64_t> key;
  for (std::int64_t head = 0; head < heads.query; ++head) {
    if (head * ranks / heads.query == rank) {
      query.push_back(head);
      std::int64_t const attends = head / (heads.query / heads.key_value);
      if (key.empty() || key.back() != attends) {
        key.push_back(attends);
      }
    }
  }
  std::vector<Row> out;
  auto const add = [&](int tensor, std::int64_t head) {
    for (std::int64_t row = 0; row < heads.rows; ++row) {
      out.push_back({tensor, head * heads.rows + row});
    }
  };
  if (order == QkvOrder::concatenated) {
    for (std::int64_t const head : query) {
      add(0, head);
    }
    for (int const tensor : {1, 2}) {
      for (std::int64_t const head : key) {
        add(tensor, head);
      }
    }
    return out;
  }
  for (std::int64_t const group : key) {
    for (std::int64_t const head : query) {
      if (head / (heads.query / heads.key_value) == group) {
        add(0, head);
      }
    }
    add(1, group);
    add(2, group);
  }
  return out;
}

/// One side: layout, place in the world, order of the fused tensor.
struct Side {
  Layout layout{};
  Mesh mesh;
  QkvOrder order = QkvOrder::concatenated;
  Heads heads{};
  std::int64_t columns = 1;
};

/// A weight with gaps between its rows, and a bias.
template <class Policy>
struct Attention {
  using SyncPolicy = Policy;
  Side side;
  std::vector<Row> rows;
  std::vector<std::int32_t> weight;
  std::vector<std::int32_t> bias;

  Attention(Side const& of, int world_rank) : side(of) {
    int const rank = side.mesh.rank_of(world_rank);
    if (rank >= 0) {
      rows =
          rows_of(side.heads, side.layout.tensor, side.layout.coordinate(rank).tensor, side.order);
    }
    weight.assign(rows.size() * stride(), nothing);
    bias.assign(rows.size(), nothing);
  }
  [[nodiscard]] std::size_t stride() const { return static_cast<std::size_t>(side.columns) + 1; }
  [[nodiscard]] Mesh const& mesh() const noexcept { return side.mesh; }
  [[nodiscard]] Layout layout() const noexcept { return side.layout; }
  template <class Visit>
  void parameters(Visit&& visit) {
    auto const count = static_cast<std::int64_t>(rows.size());
    TensorView const matrix{
        weight.data(), rlhf::DType::i32, {}, {count, side.columns}, {side.columns + 1, 1}};
    rlhf::fused::qkv(visit, matrix, {"q.weight", "k.weight", "v.weight"}, side.heads,
                     side.layout.tensor, side.order);
    rlhf::fused::qkv(visit, rlhf::view(bias, {count}), {"q.bias", "k.bias", "v.bias"}, side.heads,
                     side.layout.tensor, side.order);
  }
  template <class Visit>
  void each(Visit&& visit, int version) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t c = 0; c < stride(); ++c) {
        bool const gap = c + 1 == stride();
        visit(weight[i * stride() + c],
              gap ? nothing
                  : value(rows[i].tensor, rows[i].row, static_cast<std::int64_t>(c), version));
      }
      visit(bias[i], value(3 + rows[i].tensor, rows[i].row, 0, version));
    }
  }
  void fill(int version) {
    each([](std::int32_t& at, std::int32_t is) { at = is; }, version);
  }
  [[nodiscard]] int wrong(int version) {
    int count = 0;
    each([&](std::int32_t const& at, std::int32_t is) { count += at == is ? 0 : 1; }, version);
    return count;
  }
};

/// What all ranks of a side list.
plan::Description describe(Side const& side) {
  plan::Description out{side.layout, {}};
  for (int const world_rank : side.mesh.world_ranks()) {
    Attention<sync::None> model(side, world_rank);
    out.ranks.push_back(sync::local_parameters(model, world_rank).description);
  }
  return out;
}

bool fits(std::int64_t key_value, int ranks) {
  return key_value % ranks == 0 || ranks % key_value == 0;
}

template <class Source, class Destination>
void check_sync(int world_size, Source&& make_source, Destination&& make_destination) {
  std::atomic<int> wrong{0};
  std::atomic<int> elements{0};
  ranks::WorldEnd const end = ranks::run_world(world_size, [&](rlhf::comm::Local& world) {
    auto from = make_source(world.rank());
    auto to = make_destination(world.rank());
    sync::Link link(world, from, to);
    for (int version = 1; version <= 2; ++version) {
      from.fill(version);
      link.sync(rlhf::Version{version});
      wrong += to.wrong(version) + from.wrong(version);
      link.verify();
    }
    elements += static_cast<int>(to.rows.size());
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(wrong == 0);
  CHECK(elements > 0);
}

}  // namespace

TEST_CASE("query|key|value between all tensor sizes that fit: plans are exact covers") {
  int plans = 0;
  int copies = 0;
  for (std::int64_t const key_value : {2, 4, 8}) {
    for (int source = 1; source <= 16; ++source) {
      for (int destination = 1; destination <= 16; ++destination) {
        if (!fits(key_value, source) || !fits(key_value, destination)) {
          continue;
        }
        Heads const heads{1680, key_value, 1};  // a multiple of all of them
        Side const from{{.tensor = source}, Mesh::range(0, source), QkvOrder::interleaved, heads};
        Side const to{{.tensor = destination},
                      Mesh::range(plans % 2 == 0 ? 0 : source, destination),
                      plans % 3 == 0 ? QkvOrder::interleaved : QkvOrder::concatenated,
                      heads};
        plan::Description const given = describe(from);
        plan::Description const wanted = describe(to);
        plan::Plan const made = plan::build(
            given, wanted,
            plan::Options{plan::Route::point_to_point, plan::SourceChoice::balanced, 1 << 16});
        CAPTURE(key_value);
        CAPTURE(source);
        CAPTURE(destination);
        CHECK(plan::find_fault(made, given, wanted).empty());
        ++plans;
        copies += destination > key_value ? 1 : 0;
      }
    }
  }
  CHECK(plans == 9 * 9 + 6 * 6 + 5 * 5);
  CHECK(copies > 70);
}

TEST_CASE("query|key|value arrives, weight and bias, in the order of the destination") {
  int worlds = 0;
  for (std::int64_t const key_value : {2, 4}) {
    for (int const source : {1, 2, 4, 6}) {
      for (int const destination : {1, 2, 4, 6}) {
        if (!fits(key_value, source) || !fits(key_value, destination)) {
          continue;
        }
        for (QkvOrder const from : {QkvOrder::concatenated, QkvOrder::interleaved}) {
          for (QkvOrder const to : {QkvOrder::concatenated, QkvOrder::interleaved}) {
            bool const together = worlds++ % 2 == 0;
            Heads const heads{12, key_value, worlds % 3 + 1};
            Side const given{{.tensor = source}, Mesh::range(0, source), from, heads, 3};
            Side const wanted{{.tensor = destination},
                              Mesh::range(together ? 0 : source, destination),
                              to,
                              heads,
                              3};
            int const world = together ? std::max(source, destination) : source + destination;
            CAPTURE(key_value);
            CAPTURE(source);
            CAPTURE(destination);
            check_sync(
                world, [&](int rank) { return Attention<sync::None>(given, rank); },
                [&](int rank) { return Attention<sync::PointToPoint<256_B>>(wanted, rank); });
          }
        }
      }
    }
  }
  CHECK(worlds == 4 * (16 + 9));
}

TEST_CASE("2, 4 and 8 key/value heads arrive between all tensor sizes of 1 to 16 that fit") {
  int worlds = 0;
  for (int const key_value : {2, 4, 8}) {
    for (int source = 1; source <= 16; ++source) {
      for (int destination = 1; destination <= 16; ++destination) {
        if (!fits(key_value, source) || !fits(key_value, destination)) {
          continue;
        }
        bool const together = worlds % 2 == 0;
        Heads const heads{std::lcm(key_value, std::lcm(source, destination)), key_value, 1};
        auto const order = [](bool one) {
          return one ? QkvOrder::interleaved : QkvOrder::concatenated;
        };
        Side const given{
            {.tensor = source}, Mesh::range(0, source), order(worlds % 3 == 0), heads, 2};
        Side const wanted{{.tensor = destination},
                          Mesh::range(together ? 0 : source, destination),
                          order(worlds % 5 < 2),
                          heads,
                          2};
        ++worlds;
        CAPTURE(key_value);
        CAPTURE(source);
        CAPTURE(destination);
        check_sync(
            together ? std::max(source, destination) : source + destination,
            [&](int rank) { return Attention<sync::None>(given, rank); },
            [&](int rank) { return Attention<sync::Reshard<256_B>>(wanted, rank); });
      }
    }
  }
  CHECK(worlds == 9 * 9 + 6 * 6 + 5 * 5);
}

TEST_CASE("eight key/value heads, data copies on both sides, one broadcast for several ranks") {
  for (int const destination : {2, 4, 8}) {
    Heads const heads{8, 8, 2};
    Side const given{{.tensor = 2, .data = 2}, Mesh::range(0, 4), QkvOrder::interleaved, heads, 2};
    Side const wanted{
        {.tensor = destination}, Mesh::range(0, destination), QkvOrder::concatenated, heads, 2};
    check_sync(
        std::max(4, destination), [&](int rank) { return Attention<sync::None>(given, rank); },
        [&](int rank) { return Attention<sync::Broadcast<>>(wanted, rank); });
  }
}

namespace {

/// Experts as a trainer has them: w13 [experts of the rank, 2 * inter, hidden] with gate|up fused,
/// or one by one with gate and up apart. Rows are numbered expert after expert.
template <class Policy>
struct Experts {
  using SyncPolicy = Policy;
  static constexpr int experts = 6;
  static constexpr std::int64_t inter = 4;
  static constexpr std::int64_t hidden = 3;

  Layout how;
  Layout of_experts;  // the expert layers' own
  Mesh where;
  bool fused = false;
  std::vector<int> mine;
  std::int64_t part = 0;  // rows of gate, or up, on this rank
  std::vector<Row> rows;
  std::vector<std::int32_t> memory;

  Experts(Layout const& layout, Layout const& inner, Mesh const& mesh_of, bool is_fused,
          std::vector<int> const& table, int world_rank)
      : how(layout),
        of_experts(inner),
        where(mesh_of),
        fused(is_fused) {
    int const rank = where.rank_of(world_rank);
    if (rank < 0) {
      return;
    }
    Coordinate const at = inner.coordinate(rank);
    auto const slots = table.size() / static_cast<std::size_t>(inner.expert);
    part = inter / inner.tensor;
    for (std::size_t s = 0; s < slots; ++s) {
      int const expert = table[static_cast<std::size_t>(at.expert) * slots + s];
      mine.push_back(expert);
      for (int const tensor : {0, 1}) {
        for (std::int64_t row = 0; row < part; ++row) {
          rows.push_back({tensor * experts + expert, at.tensor * part + row});
        }
      }
    }
    memory.assign(rows.size() * hidden, nothing);
  }
  [[nodiscard]] Mesh const& mesh() const noexcept { return where; }
  [[nodiscard]] Layout layout() const noexcept { return how; }
  static std::string prefix(int expert) { return "experts." + std::to_string(expert) + "."; }
  template <class Visit>
  void parameters(Visit&& visit) {
    auto const slots = static_cast<std::int64_t>(mine.size());
    auto const rule = rlhf::shard::on(of_experts, rlhf::shard::rows());
    if (fused) {
      rlhf::fused::expert_rows(visit, rlhf::view(memory, {slots, 2 * part, hidden}), prefix, mine,
                               {{"gate_proj", part}, {"up_proj", part}}, rule);
      return;
    }
    TensorView const all = rlhf::view(memory, {slots * 2, part, hidden});
    for (std::size_t s = 0; s < mine.size(); ++s) {
      auto const at = static_cast<std::int64_t>(s);
      visit(prefix(mine[s]) + "gate_proj", rlhf::fused::slot(all, 2 * at), rule);
      visit(prefix(mine[s]) + "up_proj", rlhf::fused::slot(all, 2 * at + 1), rule);
    }
  }
  template <class Visit>
  void each(Visit&& visit, int version) {
    for (std::size_t i = 0; i < memory.size(); ++i) {
      Row const& row = rows[i / hidden];
      visit(memory[i], value(row.tensor, row.row, static_cast<std::int64_t>(i % hidden), version));
    }
  }
  void fill(int version) {
    each([](std::int32_t& at, std::int32_t is) { at = is; }, version);
  }
  [[nodiscard]] int wrong(int version) {
    int count = 0;
    each([&](std::int32_t const& at, std::int32_t is) { count += at == is ? 0 : 1; }, version);
    return count;
  }
};

}  // namespace

TEST_CASE("fused experts, cut over other sizes than the dense layers, redundant in the generator") {
  std::vector<int> const plain{0, 1, 2, 3, 4, 5};
  std::vector<int> const redundant{5, 0, 1, 2, 3, 5, 4, 0};  // four ranks, two slots each
  Layout const dense{.tensor = 4};
  for (Layout const& source : {Layout{.tensor = 4}, Layout{.tensor = 2, .expert = 2},
                               Layout{.tensor = 2, .data = 2}, Layout{.expert = 2, .data = 2}}) {
    CAPTURE(to_string(source));
    for (bool const fused : {true, false}) {
      using From = Experts<sync::None>;
      using To = Experts<sync::PointToPoint<256_B>>;
      check_sync(
          6, [&](int rank) { return From(dense, source, Mesh::range(0, 4), fused, plain, rank); },
          [&](int rank) {
            return To(dense, {.expert = 4}, Mesh::range(2, 4), !fused, redundant, rank);
          });
    }
  }
}

namespace {

/// A small whole number as bits of a type that holds it exactly.
std::uint32_t bits_of(rlhf::DType type, int number) {
  float const exact = static_cast<float>(number);
  auto const single = std::bit_cast<std::uint32_t>(exact);
  if (type == rlhf::DType::f32) {
    return single;
  }
  if (type == rlhf::DType::bf16) {
    return single >> 16;
  }
  return number == 0 ? 0 : (((single >> 23) - 127 + 15) << 10) | ((single >> 13) & 0x3ffU);
}
/// Element (row, column) of tensor `tensor` of a version: exact in every type.
int small_value(int tensor, std::int64_t row, std::int64_t column, int version) {
  return static_cast<int>((tensor * 41 + row * 7 + column * 3 + version * 13) % 127) + 1;
}

/// One side of a model in which everything meets: fused or separate, tied or not, in some type.
struct MixedSide {
  Layout layout{};
  Mesh mesh;
  rlhf::DType type = rlhf::DType::f32;
  int qkv = 0;  // 0 separate, 1 concatenated, 2 interleaved
  bool gate_up = false;
  bool tied = false;
};
struct MixedSizes {
  Heads heads{};
  std::int64_t rows = 0;  // of gate, up and the embedding, each
  std::int64_t columns = 0;
};

/// The tensors: 0 query, 1 key, 2 value, 3 gate, 4 up, 5 embedding (and the head, equal to it).
template <class Policy>
class Mixed {
 public:
  using SyncPolicy = Policy;
  Mixed(MixedSide side, MixedSizes const& sizes, int world_rank)
      : side_(std::move(side)),
        sizes_(sizes) {
    int const rank = side_.mesh.rank_of(world_rank);
    if (rank < 0) {
      return;
    }
    int const tensor = side_.layout.coordinate(rank).tensor;
    auto const order = side_.qkv == 2 ? QkvOrder::interleaved : QkvOrder::concatenated;
    qkv_ = block(rows_of(sizes.heads, side_.layout.tensor, tensor, order));
    std::vector<Row> own[3];
    std::int64_t const share = sizes.rows / side_.layout.tensor;
    for (int i = 0; i < 3; ++i) {
      for (std::int64_t r = 0; r < share; ++r) {
        own[i].push_back({3 + i, tensor * share + r});
      }
    }
    std::vector<Row> both = own[0];
    both.insert(both.end(), own[1].begin(), own[1].end());
    gate_up_ = block(both);
    embedding_ = block(own[2]);
    head_ = block(own[2]);
    for (int i = 0; i < 3; ++i) {
      for (Row const& row : qkv_.rows) {
        parts_[i] += row.tensor == i ? 1 : 0;
      }
    }
  }
  [[nodiscard]] Mesh const& mesh() const noexcept { return side_.mesh; }
  [[nodiscard]] Layout layout() const noexcept { return side_.layout; }

  template <class Visit>
  void parameters(Visit&& visit) {
    TensorView const attention = view(qkv_);
    if (side_.qkv == 0) {
      std::int64_t const heads[] = {sizes_.heads.query, sizes_.heads.key_value,
                                    sizes_.heads.key_value};
      char const* const names[] = {"q", "k", "v"};
      std::int64_t begin = 0;
      for (int i = 0; i < 3; ++i) {
        visit(names[i], rlhf::fused::slice(attention, 0, begin, parts_[i]),
              rlhf::shard::heads(0, heads[i]));
        begin += parts_[i];
      }
    } else {
      rlhf::fused::qkv(visit, attention, {"q", "k", "v"}, sizes_.heads, side_.layout.tensor,
                       side_.qkv == 2 ? QkvOrder::interleaved : QkvOrder::concatenated);
    }
    TensorView const mlp = view(gate_up_);
    std::int64_t const half = mlp.shape[0] / 2;
    if (side_.gate_up) {
      rlhf::fused::rows(visit, mlp, {{"gate", half}, {"up", half}});
    } else {
      visit("up", rlhf::fused::slice(mlp, 0, half, half), rlhf::shard::rows());
      visit("gate", rlhf::fused::slice(mlp, 0, 0, half), rlhf::shard::rows());
    }
    visit("embedding", view(embedding_), rlhf::shard::rows());
    visit("head", view(side_.tied ? embedding_ : head_), rlhf::shard::rows());
  }
  void fill(int version) {
    for (Block* one : {&qkv_, &gate_up_, &embedding_, &head_}) {
      each(
          *one, [&](std::uint32_t& bits, std::uint32_t right) { bits = right; }, version);
    }
  }
  [[nodiscard]] std::int64_t wrong(int version) {
    std::int64_t count = 0;
    auto const compare = [&](std::uint32_t& bits, std::uint32_t right) {
      count += bits == right ? 0 : 1;
    };
    for (Block* one : {&qkv_, &gate_up_, &embedding_}) {
      each(*one, compare, version);
    }
    if (!side_.tied) {
      each(head_, compare, version);
    }
    return count;
  }

 private:
  struct Block {
    std::vector<Row> rows;
    std::vector<std::byte> memory;
  };
  [[nodiscard]] std::size_t size() const { return side_.type == rlhf::DType::f32 ? 4 : 2; }
  [[nodiscard]] Block block(std::vector<Row> rows) const {
    Block out{std::move(rows), {}};
    out.memory.resize(out.rows.size() * static_cast<std::size_t>(sizes_.columns) * size());
    return out;
  }
  [[nodiscard]] TensorView view(Block& of) const {
    return {of.memory.data(),
            side_.type,
            {},
            {static_cast<std::int64_t>(of.rows.size()), sizes_.columns},
            {sizes_.columns, 1}};
  }
  template <class Do>
  void each(Block& of, Do&& act, int version) {
    std::byte* at = of.memory.data();
    for (Row const& row : of.rows) {
      for (std::int64_t c = 0; c < sizes_.columns; ++c, at += size()) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, at, size());
        act(bits, bits_of(side_.type, small_value(row.tensor, row.row, c, version)));
        std::memcpy(at, &bits, size());
      }
    }
  }

  MixedSide side_;
  MixedSizes sizes_;
  Block qkv_, gate_up_, embedding_, head_;
  std::int64_t parts_[3] = {0, 0, 0};
};

/// None, fingerprints, all bytes, in turn.
sync::Verification verification_of(std::uint64_t seed) {
  return seed % 3 == 0   ? sync::Verification::none
         : seed % 3 == 1 ? sync::Verification::fingerprint
                         : sync::Verification::full;
}

MixedSide mixed_side(cases::Dice& dice, int world, MixedSizes const& sizes) {
  MixedSide side;
  do {
    side.layout = {.tensor = dice.pick({1, 2, 4}), .data = dice.pick({1, 1, 2, 3})};
  } while (side.layout.ranks() > world || (sizes.heads.key_value % side.layout.tensor != 0 &&
                                           side.layout.tensor % sizes.heads.key_value != 0));
  std::vector<int> ranks;
  for (int r = 0; r < world; ++r) {
    ranks.push_back(r);
  }
  dice.shuffle(ranks);
  ranks.resize(static_cast<std::size_t>(side.layout.ranks()));
  side.mesh = Mesh(std::move(ranks));
  side.type = dice.pick({rlhf::DType::f32, rlhf::DType::bf16, rlhf::DType::f16});
  side.qkv = dice.between(0, 2);
  side.gate_up = dice.one_in(2);
  side.tied = dice.one_in(2);
  return side;
}

}  // namespace

TEST_CASE("fused, tied and converted tensors of one model arrive, whatever both sides do") {
  std::uint64_t const tries = cases::to_try(60);
  for (std::uint64_t seed = 0; seed < tries; ++seed) {
    CAPTURE(seed);
    cases::Dice dice(seed);
    int const groups = dice.pick({1, 2, 4});
    MixedSizes const sizes{{.query = 4 * dice.between(1, 2), .key_value = groups, .rows = 2},
                           4 * dice.between(1, 3),
                           dice.between(1, 5)};
    int const world = dice.between(1, 6);
    MixedSide const from = mixed_side(dice, world, sizes);
    MixedSide const to = mixed_side(dice, world, sizes);
    auto const end = ranks::run_world(world, ranks::long_timeout, [&](rlhf::comm::Local& comm) {
      Mixed<sync::Reshard<1_MiB>> source(from, sizes, comm.rank());
      Mixed<sync::Reshard<1_MiB>> destination(to, sizes, comm.rank());
      sync::LinkOptions options;
      options.verification = verification_of(seed);
      sync::Link link(comm, source, destination, options);
      for (int version = 1; version <= 2; ++version) {
        source.fill(version);
        link.sync(rlhf::Version{version});
        CHECK(destination.wrong(version) == 0);
      }
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}
