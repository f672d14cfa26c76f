/// @file
/// Ranks on GPUs: NCCL as a model of Communicator, with a deadline on every wait. Layer: nccl.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/nccl/detail/core.hpp>
#include <rlhf/nccl/detail/fate.hpp>
#include <rlhf/nccl/detail/operation.hpp>
#include <rlhf/nccl/error.hpp>
#include <rlhf/nccl/options.hpp>
#include <rlhf/nccl/registered_memory.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include <nccl.h>

namespace rlhf::inline v0::nccl {

/// An id that one rank makes and hands to all others, by which they find each other.
///
/// With `NCCL_COMM_ID=host:port` in the environment every process gets the same id and rank 0
/// serves it: no other way to exchange it is needed (see nccl/world.hpp).
[[nodiscard]] inline ncclUniqueId unique_id() {
  ncclUniqueId id{};
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  return id;
}

/// One rank of a group of GPUs. Models `comm::Communicator`.
///
/// **Streams.** Calls with device memory enqueue work on `stream` and return; they do not wait for
/// the device. Their results are complete when the stream is: see `wait`. The first call between
/// two ranks makes their connection and returns when both have come. Device memory must be plain
/// (`cuda::DeviceBuffer`, `cudaMalloc`) where ranks are threads of one process: NCCL reaches into
/// it from other devices, which stream-ordered pools do not allow unless told to.
///
/// **Host memory** works in every call, too: it is staged through memory of the communicator's own,
/// and such a call waits until it is done (inside a group: `group_end` does). For control messages.
/// Calls of no elements do nothing.
///
/// **Groups.** Unlike `Local`, collectives other than `barrier` and `split` may stand in a group,
/// which makes them one launch. An operation that names no stream runs on that of `group_end`.
///
/// **Waits** of the host have the deadline `timeout()`. When it passes, NCCL reports an error, or a
/// rank of this host is found dead, every communicator of the world in this process is aborted and
/// the call throws: timeout, nccl or aborted, with this rank, the call, its bytes and its number,
/// and the ranks it waited for. `Error::rank()` is the world rank at fault where it is known, else
/// -1. NCCL itself never reports a process that was killed on the same host; ranks of one host
/// therefore see each other's progress in a small shared memory. All later calls of the world throw
/// `Errc::aborted`; make a new world to go on, of the survivors.
///
/// **The end.** `finalize` on success; the destructor aborts what was not finalized and never waits
/// longer than ten seconds. Destroy captured graphs first: NCCL waits for them.
///
/// **Capture.** While `stream` is captured in a graph, calls only enqueue: no wait for the device,
/// no look at pointers (host memory is not found out there and fails), no allocation. Make every
/// call once before capturing, so that NCCL has its connections. Where ranks are threads, capture
/// with `cudaStreamCaptureModeThreadLocal`: the global mode forbids other threads' waits.
///
/// **Unwinding.** `cudaFree` waits for work on the device. Where device memory is freed while a
/// collective that a dead rank left unfinished may use it, `wait` or `abort` first.
///
/// Thread safety: one caller per object, except that any thread may call `abort`. The
/// communicator's device need not be current.
class Communicator {
 public:
  using Stream = cuda::StreamView;
  static constexpr bool groups_broadcasts = true;

  /// An empty communicator, of size 0.
  Communicator() noexcept = default;
  /// Joins as `rank` of `size` on the current device; collective. One device a rank.
  ///
  /// `fate`: ranks that are threads of one process share one in order to fail together.
  /// Errors: timeout where a rank does not join, nccl, cuda. Cost: 50 to 700 ms.
  Communicator(ncclUniqueId const& id, int rank, int size, Options options = {},
               std::shared_ptr<detail::Fate> fate = nullptr)
      : core_(detail::Core::create(id, rank, size, options, std::move(fate))) {}

  [[nodiscard]] int rank() const noexcept { return core_ == nullptr ? 0 : core_->state().rank(); }
  [[nodiscard]] int size() const noexcept { return core_ == nullptr ? 0 : core_->state().size(); }
  [[nodiscard]] int world_rank(int rank) const {
    expect_member(rank, "a member");
    return core_->state().world_rank(rank);
  }
  /// The device that this rank works on, -1 for an empty communicator.
  [[nodiscard]] int device() const noexcept {
    return core_ == nullptr ? -1 : core_->state().device();
  }
  /// The process of a rank of this host, which is this one where ranks are threads; 0 for ranks of
  /// other hosts. Tells by which way its memory can be reached.
  [[nodiscard]] int process_of(int rank) const {
    expect_member(rank, "a member");
    return core_->state().board().pid(rank);
  }
  [[nodiscard]] Milliseconds timeout() const noexcept {
    return core_ == nullptr ? Milliseconds{} : core_->state().timeout();
  }
  void set_timeout(Milliseconds timeout) noexcept {
    if (core_ != nullptr) {
      core_->state().set_timeout(timeout);
    }
  }

  void broadcast(void* data, std::int64_t count, DType dtype, int root, Stream stream = {}) {
    expect_member(root, "the root of a broadcast");
    core_->run({.kind = detail::Kind::broadcast,
                .dtype = dtype,
                .peer = root,
                .count = count,
                .in = data,
                .out = data,
                .stream = stream});
  }
  void all_reduce(void const* in, void* out, std::int64_t count, DType dtype, comm::Reduce op,
                  Stream stream = {}) {
    expect_some();
    core_->run({.kind = detail::Kind::all_reduce,
                .dtype = dtype,
                .reduce = op,
                .count = count,
                .in = in,
                .out = out,
                .stream = stream});
  }
  void all_gather(void const* in, void* out, std::int64_t count, DType dtype, Stream stream = {}) {
    expect_some();
    core_->run({.kind = detail::Kind::all_gather,
                .dtype = dtype,
                .count = count,
                .in = in,
                .out = out,
                .stream = stream});
  }
  void reduce_scatter(void const* in, void* out, std::int64_t count, DType dtype, comm::Reduce op,
                      Stream stream = {}) {
    expect_some();
    core_->run({.kind = detail::Kind::reduce_scatter,
                .dtype = dtype,
                .reduce = op,
                .count = count,
                .in = in,
                .out = out,
                .stream = stream});
  }
  void all_to_all(void const* in, void* out, std::int64_t count, DType dtype, Stream stream = {}) {
    expect_some();
    expects(in != out || count == 0, "all_to_all cannot work in place");
    core_->run({.kind = detail::Kind::all_to_all,
                .dtype = dtype,
                .count = count,
                .in = in,
                .out = out,
                .stream = stream});
  }
  void send(void const* data, std::int64_t count, DType dtype, int peer, Stream stream = {}) {
    expect_member(peer, "the receiver of a send");
    core_->run({.kind = detail::Kind::send,
                .dtype = dtype,
                .peer = peer,
                .count = count,
                .in = data,
                .stream = stream});
  }
  void recv(void* data, std::int64_t count, DType dtype, int peer, Stream stream = {}) {
    expect_member(peer, "the sender of a recv");
    core_->run({.kind = detail::Kind::recv,
                .dtype = dtype,
                .peer = peer,
                .count = count,
                .out = data,
                .stream = stream});
  }
  void group_start() {
    expect_some();
    core_->group_start();
  }
  /// Launches what was called since `group_start`; of nested groups the outermost does.
  void group_end(Stream stream = {}) {
    expect_some();
    core_->group_end(stream);
  }
  /// Forgets what was called since the outermost `group_start`; NCCL has not seen any of it.
  void group_cancel() noexcept {
    if (core_ != nullptr) {
      core_->group_cancel();
    }
  }

  /// Returns when all ranks' streams have come here, unless `stream` is captured: then the barrier
  /// is part of the graph, and the host does not wait.
  void barrier(Stream stream = {}) {
    expect_some();
    core_->barrier(stream);
  }

  /// Waits until everything on `stream` is done, at most `timeout()`. This is where a rank is
  /// noticed that died or stalled while its peers' devices wait for it. Other ranks are not needed.
  void wait(Stream stream = {}) {
    expect_some();
    core_->wait(stream);
  }

  /// Waits until `ready()` is true, like `wait`: at most `timeout()`, and not for ranks that are
  /// gone. For what other ranks write into shared memory, for example. `ready` is called often.
  template <class Ready>
  void wait_until(Ready ready) {
    expect_some();
    core_->wait_until(ready);
  }

  /// Collective. Members of one color form a group ordered by (key, rank); `no_color` gets an empty
  /// communicator. Timeout and settings are inherited. Ends with its world: a failure of either
  /// aborts both. Cost: 50 ms.
  [[nodiscard]] Communicator split(int color, int key) {
    expect_some();
    return Communicator(core_->split(color, key));
  }

  /// What transfers stage in where others would take a `Memory`; see `comm::RegistersMemory`.
  template <std::same_as<cuda::DeviceBuffer> Memory>
  using Registered = RegisteredMemory;
  /// Whether weight syncs shall use it: `Options::register_staging`.
  [[nodiscard]] bool registers() const noexcept {
    return core_ != nullptr && core_->options().register_staging;
  }
  /// New memory that this communicator knows, on its device. Not collective.
  /// Errors: cuda where there is not enough memory, nccl.
  [[nodiscard]] RegisteredMemory registered(std::int64_t bytes) {
    expect_some();
    cuda::DeviceGuard const guard(device());
    RegisteredMemory memory(bytes);
    if (memory.owned_ != nullptr) {
      RegisteredMemory::Owned& owned = *memory.owned_;
      owned.registration = core_->register_memory(owned.data, owned.bytes);
      owned.communicator = core_->state().shared_handle();
    }
    return memory;
  }

  /// Ends the communicator after all work on it; every member must call it. Nothing can be called
  /// afterwards. Errors: timeout after `patience`, and what work still on its way reports.
  void finalize(Milliseconds patience = Milliseconds{30'000}) {
    if (core_ != nullptr) {
      core_->finalize(patience);
    }
  }
  [[nodiscard]] bool finalized() const noexcept {
    return core_ != nullptr && core_->state().finalized();
  }

  /// Aborts the communicators of the whole world in this process; their pending and later calls
  /// throw `aborted` with this reason. Ranks in other processes of this host notice at their next
  /// call, or a second into the wait that they are in; those of other hosts at their deadline.
  /// Bounded: ten seconds.
  void abort(std::string_view reason) noexcept {
    if (core_ != nullptr) {
      core_->abort(reason);
    }
  }

  /// NCCL's own handle, for calls that are not here. Not to be destroyed, aborted or used from
  /// another thread. Null once aborted or finalized.
  [[nodiscard]] ncclComm_t native() const noexcept {
    ncclComm_t native = nullptr;
    if (core_ != nullptr) {
      static_cast<void>(core_->state().handle().with([&](ncclComm_t comm) { native = comm; }));
    }
    return native;
  }

  Communicator(Communicator&&) noexcept = default;
  Communicator& operator=(Communicator&&) noexcept = default;
  Communicator(Communicator const&) = delete;
  Communicator& operator=(Communicator const&) = delete;
  ~Communicator() = default;

 private:
  friend struct detail::CommunicatorAccess;

  explicit Communicator(std::shared_ptr<detail::Core> core) noexcept : core_(std::move(core)) {}

  void expect_some() const {
    expects(core_ != nullptr, "this communicator is empty: the rank was split off with no_color");
  }
  void expect_member(int rank, char const* role) const {
    expect_some();
    if (rank < 0 || rank >= size()) {
      fail(Errc::invalid_argument, text(role, " must be a rank below ", size(), ", got ", rank));
    }
  }

  std::shared_ptr<detail::Core> core_;  // `run` keeps another reference until it has finalized
};

namespace detail {

/// Lets `run` outlive the communicator that it gives away.
struct CommunicatorAccess {
  [[nodiscard]] static Communicator share(Communicator const& communicator) noexcept {
    return Communicator(communicator.core_);
  }
};

}  // namespace detail
}  // namespace rlhf::inline v0::nccl
