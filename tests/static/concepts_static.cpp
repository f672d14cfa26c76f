// Communicator, Packer, ShardRule, ListsParameters and Endpoint: what models them, and what lacks
// one expression does not.
#include <rlhf/parallel/experts.hpp>
#include <rlhf/parallel/flat.hpp>
#include <rlhf/parallel/fused.hpp>
#include <rlhf/parallel/on_layout.hpp>
#include <rlhf/parallel/uneven.hpp>
#include <rlhf/rlhf.hpp>

#include <archetypes/communicator.hpp>
#include <archetypes/endpoint.hpp>
#include <archetypes/packer.hpp>
#include <archetypes/shard_rule.hpp>

namespace {

using rlhf::comm::Communicator;
using rlhf::comm::Local;
using rlhf::comm::Recording;

static_assert(Communicator<Local>);
static_assert(Communicator<Recording<Local>>);
static_assert(Communicator<Recording<Recording<Local>>>);
static_assert(Communicator<archetype::Communicator>);
static_assert(Communicator<Recording<archetype::Communicator>>);
static_assert(!Communicator<int>);
static_assert(!Communicator<Local const>);
static_assert(!Communicator<Local*>);

// Hiding one function of a communicator takes the concept away.
struct NoBroadcast : Local {
  void broadcast() = delete;
};
struct NoAllReduce : Local {
  void all_reduce() = delete;
};
struct NoAllGather : Local {
  void all_gather() = delete;
};
struct NoReduceScatter : Local {
  void reduce_scatter() = delete;
};
struct NoAllToAll : Local {
  void all_to_all() = delete;
};
struct NoSend : Local {
  void send() = delete;
};
struct NoGroups : Local {
  void group_start() = delete;
};
struct NoBarrier : Local {
  void barrier(int) = delete;
};
struct ThrowingCancel : Local {
  void group_cancel() {}
};
struct SplitsToAnother : Local {};  // split gives a Local
static_assert(rlhf::comm::HasSendRecv<Local> && !rlhf::comm::HasSendRecv<NoSend>);
static_assert(!Communicator<NoBroadcast> && !Communicator<NoAllReduce>);
static_assert(!Communicator<NoAllGather> && !Communicator<NoReduceScatter>);
static_assert(!Communicator<NoAllToAll> && !Communicator<NoSend> && !Communicator<NoGroups>);
static_assert(!Communicator<NoBarrier> && !Communicator<ThrowingCancel>);
static_assert(!Communicator<SplitsToAnother>);

using Stream = Local::Stream;
static_assert(rlhf::Packer<rlhf::HostPacker<Stream>>);
static_assert(rlhf::Packer<archetype::Packer<Stream>>);
static_assert(!rlhf::Packer<Local>);
struct PacksButNeverUnpacks : rlhf::HostPacker<Stream> {
  void unpack() = delete;
};
struct NoFingerprint : rlhf::HostPacker<Stream> {
  void fingerprints() = delete;
};
static_assert(!rlhf::Packer<PacksButNeverUnpacks> && !rlhf::Packer<NoFingerprint>);

static_assert(rlhf::ShardRule<rlhf::Shard>);
static_assert(rlhf::ShardRule<archetype::EveryNthRow>);
static_assert(rlhf::SizedShardRule<rlhf::Shard> && rlhf::SizedShardRule<rlhf::ExpertShard> &&
              rlhf::SizedShardRule<rlhf::UnevenShard> &&
              rlhf::SizedShardRule<rlhf::OnLayout<rlhf::ExpertShard>> &&
              rlhf::SizedShardRule<rlhf::InterleavedShard<rlhf::Shard>>);
static_assert(rlhf::ShardRule<rlhf::FlatShard<rlhf::Shard>> &&
              rlhf::ShardRule<rlhf::FlatRange<rlhf::OnLayout<rlhf::Shard>>> &&
              rlhf::ShardRule<rlhf::OnLayout<archetype::EveryNthRow>> &&
              rlhf::ShardRule<rlhf::InterleavedShard<archetype::EveryNthRow>>);
static_assert(!rlhf::SizedShardRule<rlhf::FlatShard<rlhf::Shard>> &&
              !rlhf::SizedShardRule<archetype::EveryNthRow> &&
              !rlhf::SizedShardRule<rlhf::OnLayout<archetype::EveryNthRow>>);
static_assert(!rlhf::ShardRule<int> && !rlhf::ShardRule<rlhf::Cut>);
struct HoldsOneBox {
  rlhf::HeldBox holding(rlhf::Shape const&, rlhf::Layout const&, rlhf::Coordinate const&) const;
};
static_assert(!rlhf::ShardRule<HoldsOneBox>);

struct Lists : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  template <class Visit>
  void parameters(Visit&&) {}
};
struct ListsNothing : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
};
struct ListsOnlyToItself : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;

 private:
  template <class Visit>
  void parameters(Visit&&) {}
};
struct ListsWithoutModule {
  template <class Visit>
  void parameters(Visit&&) {}
};
static_assert(rlhf::sync::ListsParameters<Lists> && rlhf::sync::Endpoint<Lists>);
static_assert(rlhf::sync::Endpoint<archetype::Endpoint>);
static_assert(!rlhf::sync::ListsParameters<ListsNothing> && !rlhf::sync::Endpoint<ListsNothing>);
static_assert(!rlhf::sync::ListsParameters<ListsOnlyToItself>);
static_assert(rlhf::sync::ListsParameters<ListsWithoutModule>);
static_assert(!rlhf::sync::Endpoint<ListsWithoutModule>);

// Which pairs weights may travel between.
template <rlhf::Layout L, class Sync>
struct On : rlhf::Module<rlhf::Grid<L>, Sync> {
  template <class Visit>
  void parameters(Visit&&) {}
};
template <class Sync>
struct Late : rlhf::Module<rlhf::RuntimeGrid, Sync> {
  template <class Visit>
  void parameters(Visit&&) {}
};
constexpr rlhf::Layout t2{.tensor = 2};
constexpr rlhf::Layout t4{.tensor = 4};
constexpr rlhf::Layout t3{.tensor = 3};
constexpr rlhf::Layout p2{.pipeline = 2};
using Two = rlhf::sync::TwoStage<>;
using Pair = rlhf::sync::PointToPoint<>;
using All = rlhf::sync::Broadcast<>;
using None = rlhf::sync::None;
using rlhf::sync::is_valid_pair;
static_assert(is_valid_pair<On<t2, Two>, On<t4, Two>>);
static_assert(is_valid_pair<On<t2, None>, On<t4, Two>>);
static_assert(is_valid_pair<On<p2, Two>, On<rlhf::Layout{}, Two>>);
static_assert(!is_valid_pair<On<t4, Two>, On<t2, Two>>, "tensor size is no multiple");
static_assert(!is_valid_pair<On<t2, Two>, On<t3, Two>>, "tensor size is no multiple");
static_assert(!is_valid_pair<On<rlhf::Layout{}, Two>, On<p2, Two>>, "pipeline is no multiple");
static_assert(is_valid_pair<On<t4, Pair>, On<t2, Pair>> && is_valid_pair<On<t4, All>, On<t3, All>>);
static_assert(!is_valid_pair<On<t2, All>, On<t2, Pair>>, "two policies");
static_assert(!is_valid_pair<On<t2, Pair>, On<t2, None>>, "the destination is never synced");
static_assert(!is_valid_pair<On<t2, Pair>, ListsNothing>);
static_assert(!is_valid_pair<int, On<t2, Pair>>);
static_assert(is_valid_pair<On<t4, Two>, Late<Two>>, "run-time layouts are checked at run time");

}  // namespace
