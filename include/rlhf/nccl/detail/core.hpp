/// @file
/// What a `nccl::Communicator` does: staging, groups, splitting. Layer: nccl, private.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/nccl/detail/fate.hpp>
#include <rlhf/nccl/detail/operation.hpp>
#include <rlhf/nccl/detail/release.hpp>
#include <rlhf/nccl/detail/staging.hpp>
#include <rlhf/nccl/detail/state.hpp>
#include <rlhf/nccl/options.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <nccl.h>

namespace rlhf::inline v0::nccl::detail {

struct CommunicatorAccess;

class Core {
 public:
  Core(std::shared_ptr<Fate> fate, std::uint64_t key, int rank, int size, Options options)
      : staging_(std::make_unique<Staging>()),
        options_(options),
        state_(std::move(fate), key, rank, size, cuda::current_device(), options.timeout) {
    staging_->reserve();
  }
  Core(Core const&) = delete;
  Core& operator=(Core const&) = delete;
  Core(Core&&) = delete;
  Core& operator=(Core&&) = delete;
  ~Core() {
    Staging* const staging = staging_.release();
    if (state_.release()) {
      static_cast<void>(Release([](void* object) { delete static_cast<Staging*>(object); }, staging)
                            .finish(Deadline::after(release_patience)));
    }
    // Else work on the device may use it for ever, and giving it back would wait for that.
  }

  /// A rank of a new world on the current device.
  [[nodiscard]] static std::shared_ptr<Core> create(ncclUniqueId const& id, int rank, int size,
                                                    Options options, std::shared_ptr<Fate> fate) {
    if (size < 1 || rank < 0 || rank >= size) {
      rlhf::fail(Errc::invalid_argument,
                 text("a rank must be below the size of its world, got rank ", rank, " of ", size));
    }
    if (fate == nullptr) {
      fate = std::make_shared<Fate>();
    }
    std::uint64_t const key =
        Fingerprint{}.add(std::string_view(id.internal, sizeof id.internal)).value();
    auto core = std::make_shared<Core>(std::move(fate), key, rank, size, options);
    Operation const op{.kind = Kind::create};
    std::span<Operation const> const ops(&op, 1);
    State& state = core->state_;
    state.expect_usable(ops);
    ncclConfig_t config = to_nccl(options);
    // NCCL writes here from a thread of its own until the communicator is ready. After a failure
    // nobody knows for how long, so the few bytes stay.
    auto* const made = new ncclComm_t(nullptr);  // NOLINT
    ncclResult_t const result = ncclCommInitRankConfig(made, size, id, rank, &config);
    state.handle().set(*made);
    if (result != ncclSuccess && result != ncclInProgress) {
      state.fail_nccl(ops, result);
    }
    state.poll(ops, state.timeout(), [&] { return state.progress(ops) == ncclSuccess; });
    delete made;  // NOLINT
    state.all_have_joined();
    return core;
  }

  [[nodiscard]] State& state() noexcept { return state_; }
  [[nodiscard]] State const& state() const noexcept { return state_; }

  /// Runs the operation, or queues it in a group.
  void run(Operation const& op) {
    std::span<Operation const> const ops(&op, 1);
    state_.expect_usable(ops);
    if (op.count < 0) {
      rlhf::fail(Errc::invalid_argument,
                 text("the count of ", describe(op), " must not be negative"));
    }
    if (op.count == 0) {
      return;  // on every rank alike
    }
    if (depth_ > 0) {
      queue_.push_back(op);
      return;
    }
    Operation one = op;
    execute({&one, 1});
  }

  void group_start() noexcept { ++depth_; }
  void group_end(cuda::StreamView stream) {
    expects(depth_ > 0, "group_end needs a group_start before it");
    if (--depth_ > 0) {
      return;
    }
    struct Clear {
      std::vector<Operation>& queue;
      ~Clear() { queue.clear(); }
    } const clear{queue_};
    if (queue_.empty()) {
      return;
    }
    state_.expect_usable({queue_.data(), queue_.size()});
    for (Operation& op : queue_) {
      op.stream = op.stream == cuda::StreamView() ? stream : op.stream;
    }
    execute({queue_.data(), queue_.size()});
  }
  void group_cancel() noexcept {
    depth_ = 0;
    queue_.clear();
  }

  void barrier(cuda::StreamView stream) {
    expects(depth_ == 0, "a barrier cannot be called between group_start and group_end");
    Operation op{.kind = Kind::barrier,
                 .dtype = DType::i32,
                 .count = 1,
                 .in = staging_->token(),
                 .out = staging_->token(),
                 .stream = stream};
    std::span<Operation> const ops(&op, 1);
    state_.expect_usable(ops);
    execute(ops);
    cuda::DeviceGuard const guard(state_.device());
    if (!stream.capturing()) {
      state_.wait(ops, stream);
    }
  }

  void wait(cuda::StreamView stream) {
    Operation const op{.kind = Kind::wait, .stream = stream};
    std::span<Operation const> const ops(&op, 1);
    state_.expect_usable(ops);
    cuda::DeviceGuard const guard(state_.device());
    expects(!stream.capturing(), "a stream that is being captured cannot be waited for");
    state_.wait(ops, stream);
  }

  template <class Ready>
  void wait_until(Ready& ready) {
    Operation const op{.kind = Kind::condition};
    std::span<Operation const> const ops(&op, 1);
    state_.expect_usable(ops);
    state_.poll(ops, state_.timeout(), [&, this] {
      bool const done = ready();
      if (!done) {
        state_.progress(ops);
      }
      return done;
    });
  }

  /// The group of this rank's color, null for `no_color`.
  [[nodiscard]] std::shared_ptr<Core> split(int color, int key) {
    expects(depth_ == 0, "a split cannot be called between group_start and group_end");
    Operation const op{.kind = Kind::split};
    std::span<Operation const> const ops(&op, 1);
    state_.expect_usable(ops);
    cuda::DeviceGuard const guard(state_.device());
    std::vector<int> const members = members_of(color, key);
    std::shared_ptr<Core> child;
    if (color != comm::no_color) {
      std::uint64_t const child_key = Fingerprint{}
                                          .add(state_.key())
                                          .add(++splits_)
                                          .add(static_cast<std::uint64_t>(members.front()))
                                          .value();
      int place = 0;
      std::vector<int> world_ranks;
      for (std::size_t i = 0; i < members.size(); ++i) {
        place = members[i] == state_.rank() ? static_cast<int>(i) : place;
        world_ranks.push_back(state_.world_rank(members[i]));
      }
      options_.timeout = state_.timeout();
      child = std::make_shared<Core>(state_.fate(), child_key, place,
                                     static_cast<int>(members.size()), options_);
      child->state_.world_ranks() = std::move(world_ranks);
    } else {
      ++splits_;
    }
    ncclConfig_t config = to_nccl(options_);
    auto* const made = new ncclComm_t(nullptr);  // NOLINT: see create
    state_.count_call();
    state_.call(ops, state_.timeout(), [&](ncclComm_t comm) {
      // Any number may be a color here; NCCL wants one from 0 on, and our own order as keys.
      return child == nullptr
                 ? ncclCommSplit(comm, NCCL_SPLIT_NOCOLOR, 0, made, &config)
                 : ncclCommSplit(comm, members.front(), child->state_.rank(), made, &config);
    });
    // NCCL fills the result in before it calls the parent ready.
    ncclComm_t const native = *made;
    delete made;  // NOLINT
    if (child != nullptr) {
      child->state_.handle().set(native);
      child->state_.poll(ops, state_.timeout(),
                         [&] { return child->state_.progress(ops) == ncclSuccess; });
      child->state_.all_have_joined();
    }
    return child;
  }

  /// Lets NCCL know memory of this rank; not collective. What `ncclCommDeregister` wants.
  [[nodiscard]] void* register_memory(void* data, std::size_t bytes) {
    Operation const op{.kind = Kind::registration};
    std::span<Operation const> const ops(&op, 1);
    state_.expect_usable(ops);
    cuda::DeviceGuard const guard(state_.device());
    void* out = nullptr;
    state_.call(ops, state_.timeout(),
                [&](ncclComm_t comm) { return ncclCommRegister(comm, data, bytes, &out); });
    return out;
  }
  [[nodiscard]] Options const& options() const noexcept { return options_; }

  void finalize(Milliseconds patience) {
    if (state_.finalized()) {
      return;
    }
    expects(depth_ == 0, "finalize cannot be called between group_start and group_end");
    Operation const op{.kind = Kind::finalize};
    std::span<Operation const> const ops(&op, 1);
    state_.expect_usable(ops);
    cuda::DeviceGuard const guard(state_.device());
    state_.count_call();
    state_.call(ops, patience, [](ncclComm_t comm) { return ncclCommFinalize(comm); });
    state_.end(ops, patience);
  }

  void abort(std::string_view reason) noexcept {
    try {
      state_.fate()->fail(Errc::aborted, state_.world_rank(state_.rank()),
                          text(state_.name(state_.rank()), " aborted: ", reason));
    } catch (...) {  // no memory for the text
      state_.fate()->fail(Errc::aborted, state_.world_rank(state_.rank()), "aborted");
    }
    state_.fate()->abort_all();
  }

 private:
  /// Who has this rank's color, ordered by (key, rank). Collective.
  [[nodiscard]] std::vector<int> members_of(int color, int key) {
    std::int32_t const mine[2] = {color, key};
    std::vector<std::int32_t> all(2 * static_cast<std::size_t>(state_.size()));
    cuda::Stream const stream;
    Operation exchange{.kind = Kind::all_gather,
                       .dtype = DType::i32,
                       .count = 2,
                       .in = mine,
                       .out = all.data(),
                       .stream = stream};
    execute({&exchange, 1});
    std::vector<int> members;
    auto const key_of = [&](int r) { return all[2 * static_cast<std::size_t>(r) + 1]; };
    for (int r = 0; r < state_.size(); ++r) {
      if (all[2 * static_cast<std::size_t>(r)] != color) {
        continue;
      }
      // Insertion keeps equal keys in rank order.
      members.push_back(r);
      for (std::size_t at = members.size() - 1; at > 0 && key_of(members[at - 1]) > key_of(r);
           --at) {
        members[at] = members[at - 1];
        members[at - 1] = r;
      }
    }
    return members;
  }

  /// Hands operations to NCCL as one group; waits for the device only where host memory is used.
  void execute(std::span<Operation> ops) {
    cuda::DeviceGuard const guard(state_.device());
    int const size = state_.size();
    bool const capturing = ops.front().stream.capturing();
    expects(!capturing || !(ops.front().stream == cuda::StreamView()),
            "the default stream cannot be used while another one is captured");
    bool const staged = !capturing && ops.front().kind != Kind::barrier &&
                        staging_->place(ops, state_.rank(), size);
    state_.count_call();
    if (staged) {
      staging_->reserve();
      staging_->copy_in(state_, ops);
    }
    state_.call(ops, state_.timeout(), [&, this](ncclComm_t comm) {
      if (ops.size() == 1) {
        return issue(ops.front(), staging_->in(ops.front()), staging_->out(ops.front()), size,
                     comm);
      }
      ncclResult_t result = ncclGroupStart();
      for (std::size_t i = 0; i < ops.size() && (result == ncclSuccess || result == ncclInProgress);
           ++i) {
        result = issue(ops[i], staging_->in(ops[i]), staging_->out(ops[i]), size, comm);
      }
      ncclResult_t const end = ncclGroupEnd();
      return result == ncclSuccess || result == ncclInProgress ? end : result;
    });
    if (staged) {
      staging_->copy_out(state_, ops);
    }
  }

  std::unique_ptr<Staging> staging_;
  Options options_;
  std::vector<Operation> queue_;
  std::uint64_t splits_ = 0;
  int depth_ = 0;
  State state_;  // gone before the memory that its work uses
};

}  // namespace rlhf::inline v0::nccl::detail
