/// @file
/// What the library asks of a communicator. Layer: comm.
#pragma once

#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/region.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::comm {

/// How a reduction combines elements. The order of operands is fixed by rank, so equal inputs
/// give equal results on every rank and run.
enum class Reduce : std::uint8_t { sum, max, min };

[[nodiscard]] constexpr std::string_view to_string(Reduce op) noexcept {
  constexpr std::string_view names[] = {"sum", "max", "min"};
  return names[static_cast<int>(op)];
}

/// The color of a rank that takes no part in any group of a `split`.
inline constexpr int no_color = -1;

/// @name Atoms of Communicator, one requirement each
/// Counts are elements of `DType`. `root` and `peer` are ranks of this communicator.
/// @{
template <class C>
concept HasRankAndSize = requires(C const& c) {
  { c.rank() }
  noexcept->std::same_as<int>;
  { c.size() }
  noexcept->std::same_as<int>;
  { c.world_rank(0) } -> std::same_as<int>;
};
template <class C>
concept HasStream = requires {
  typename C::Stream;
}
&&std::default_initializable<typename C::Stream>;
template <class C>
concept HasBroadcast = HasStream<C> && requires(C& c, void* p, typename C::Stream s) {
  c.broadcast(p, std::int64_t{}, DType{}, 0, s);
};
template <class C>
concept HasAllReduce = HasStream<C> &&
    requires(C& c, void const* in, void* out, typename C::Stream s) {
  c.all_reduce(in, out, std::int64_t{}, DType{}, Reduce{}, s);
};
template <class C>
concept HasAllGather = HasStream<C> &&
    requires(C& c, void const* in, void* out, typename C::Stream s) {
  c.all_gather(in, out, std::int64_t{}, DType{}, s);
};
template <class C>
concept HasReduceScatter = HasStream<C> &&
    requires(C& c, void const* in, void* out, typename C::Stream s) {
  c.reduce_scatter(in, out, std::int64_t{}, DType{}, Reduce{}, s);
};
template <class C>
concept HasAllToAll = HasStream<C> &&
    requires(C& c, void const* in, void* out, typename C::Stream s) {
  c.all_to_all(in, out, std::int64_t{}, DType{}, s);
};
template <class C>
concept HasSendRecv = HasStream<C> &&
    requires(C& c, void const* in, void* out, typename C::Stream s) {
  c.send(in, std::int64_t{}, DType{}, 0, s);
  c.recv(out, std::int64_t{}, DType{}, 0, s);
  c.group_start();
  c.group_end(s);
  { c.group_cancel() }
  noexcept;
};
template <class C>
concept HasBarrier = HasStream<C> && requires(C& c, typename C::Stream s) {
  c.barrier(s);
};
template <class C>
concept HasSplit = requires(C& c) {
  { c.split(0, 0) } -> std::same_as<C>;
};
template <class C>
concept HasAbort = requires(C& c) {
  { c.abort(std::string_view{}) }
  noexcept;
};
/// @}

/// A group of ranks that exchange memory.
///
/// | expression | meaning |
/// |---|---|
/// | `rank()`, `size()` | this rank's place, number of ranks; `size() == 0` in the communicator that `split` gives to `no_color` |
/// | `world_rank(r)` | the rank of member `r` in the world that this group was split from |
/// | `broadcast(p, n, type, root, stream)` | `n` elements of root's `p` arrive in everyone's `p` |
/// | `all_reduce(in, out, n, type, op, stream)` | element-wise over ranks; `in == out` allowed |
/// | `all_gather(in, out, n, type, stream)` | `out` (size x n) holds rank r's `in` at r x n; in place where `in == out + rank x n` |
/// | `reduce_scatter(in, out, n, type, op, stream)` | `in` (size x n); rank r gets block r reduced; in place where `out == in + rank x n` |
/// | `all_to_all(in, out, n, type, stream)` | block b of `in` goes to rank b, which finds it at block r of `out`; not in place |
/// | `send`, `recv` | pairs match in order; inside `group_start`/`group_end` all of them progress together |
/// | `group_cancel()` | forgets what was queued since `group_start` |
/// | `barrier(stream)` | nobody leaves before everybody came |
/// | `split(color, key)` | collective; members of one color form a group ordered by (key, rank) |
/// | `abort(reason)` | makes every pending and later call of every rank of the world fail |
///
/// Rules that a compiler cannot check: all ranks of a communicator make the same calls in the same
/// order; calls take effect in stream order; **every wait has a deadline**: a rank that dies,
/// stalls or makes another call turns the others' calls into `Error`s that name it. Thread safety:
/// one caller per communicator object. Models: `comm::Local` (threads and host memory),
/// `comm::Recording<C>` (counts calls of another).
template <class C>
concept Communicator = HasRankAndSize<C> && HasBroadcast<C> && HasAllReduce<C> && HasAllGather<C> &&
    HasReduceScatter<C> && HasAllToAll<C> && HasSendRecv<C> && HasBarrier<C> && HasSplit<C> &&
    HasAbort<C>;

/// A communicator that can also move the elements of regions as they lie, without packing, because
/// both ends see each other's memory: `send_regions(regions, bytes, peer, stream)`, `recv_regions`.
/// Optional; models: `Local`. Weight syncs use it where it is there.
template <class C>
concept MovesRegions = requires(C& c, std::vector<Region> const& regions, std::int64_t bytes,
                                typename C::Stream stream) {
  c.send_regions(regions, bytes, 0, stream);
  c.recv_regions(regions, bytes, 0, stream);
};

/// A communicator whose calls return before they take effect, in stream order: `wait(stream)`
/// returns when all that the stream has is done, or throws at the communicator's deadline.
/// Optional; models: `nccl::Communicator`. Where it is missing, calls have taken effect when they
/// return.
template <class C>
concept RunsBehind = HasStream<C> && requires(C& c, typename C::Stream stream) {
  c.wait(stream);
};

/// A communicator that moves bytes between memory of its own making faster than between `Memory`:
/// `registered(bytes)` makes some, `registers()` says whether to use it, the same on every rank.
/// Then both ends of all sends must lie in such memory. Optional; models: `nccl::Communicator` for
/// device memory.
template <class C, class Memory>
concept RegistersMemory = requires(C& c, Memory& plain) {
  { c.registers() } -> std::same_as<bool>;
  { c.registered(std::int64_t{}) } -> std::same_as<typename C::template Registered<Memory>>;
  static_cast<typename C::template Registered<Memory>>(static_cast<Memory&&>(plain));
};

/// A communicator whose broadcasts between `group_start` and `group_end` are one launch, so that
/// many small ones need not be packed. Says so by `static constexpr bool groups_broadcasts =
/// true`. Optional; models: `nccl::Communicator`.
template <class C>
concept GroupsBroadcasts = requires {
  requires C::groups_broadcasts;
};

}  // namespace rlhf::inline v0::comm
