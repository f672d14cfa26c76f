/// @file
/// The first failure of a run, which stops every rank with that error. Layer: runtime.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/monitor.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/runtime/detail/failure_file.hpp>
#include <rlhf/runtime/failure.hpp>

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace rlhf::inline v0::runtime {

/// One place for the first failure of any rank.
///
///     rlhf::runtime::ErrorSignal signal;                 // shared by the ranks of this process
///     // on each rank:
///     signal.run(comm, "policy", "train", [&] { policy.train(batch); });
///
/// What `run` calls may throw anything. The first rank that does gives its error rank, module and
/// phase, puts it here and aborts the communicator, so that all others' waits end. Every rank's
/// `run`, `check` or wait then throws that same error: code, text and rank of the one that failed.
/// An error of code `aborted` says that another rank failed; whoever gets it waits up to
/// `patience` for that rank to say why, and passes on its own error only where none comes. Errors
/// are not lost: `original()` is the exception that was thrown.
///
/// Ranks that are threads share one object. Ranks that are processes have one each. The failure
/// then travels in the reason of the abort, where the communicator brings it along;
/// `nccl::Communicator` does so within a process only. For others name a `file` that all processes
/// see (a shared directory, or any on one host): the first failure is written there, and who was
/// aborted looks there for it. Without, they throw what the communicator says, which names the rank
/// at fault. The file must be new for each run: one that exists is the failure of this run.
///
/// Thread safety: all members may be called from any thread, except `reset`.
template <class Late = void>
class BasicErrorSignal {
 public:
  using Failure = BasicFailure<rlhf::detail::late<void, Late>>;

  explicit BasicErrorSignal(Milliseconds patience = Milliseconds{2'000}, std::string file = {})
      : patience_(patience),
        file_(std::move(file)) {
    look_at_file();
  }
  BasicErrorSignal(BasicErrorSignal const&) = delete;
  BasicErrorSignal& operator=(BasicErrorSignal const&) = delete;
  BasicErrorSignal(BasicErrorSignal&&) = delete;
  BasicErrorSignal& operator=(BasicErrorSignal&&) = delete;
  ~BasicErrorSignal() = default;

  /// Records a failure; false where there was one before, which stays.
  /// Cost with a file: a few calls of the system, on failure only.
  bool raise(Failure failure, std::exception_ptr original = nullptr) {
    Hold const hold(monitor_);
    if (failed()) {
      return false;
    }
    bool const first = file_.put(failure);
    failure_ = std::move(failure);
    if (first || !file_.find(failure_)) {  // else another process was first
      original_ = std::move(original);
    }
    set_failed(true);
    monitor_.notify_all();
    return first;
  }

  /// Records a failure that this rank found without an exception, and stops the other ranks. The
  /// next `run` or `check` throws it here, too.
  template <class C>
    requires comm::HasAbort<C> && comm::HasRankAndSize<C>
  void raise(C& comm, std::string_view module, std::string_view phase, Errc code,
             std::string_view message) {
    Failure own;
    own.code = code;
    own.rank = own.culprit = comm.size() > 0 ? comm.world_rank(comm.rank()) : -1;
    own.module = module;
    own.phase = phase;
    own.message = message;
    raise(std::move(own));
    comm.abort(text("failure of ", failure_.text()));
  }

  [[nodiscard]] bool failed() const noexcept { return __atomic_load_n(&failed_, __ATOMIC_ACQUIRE); }
  /// Only after `failed()`; it never changes from then on.
  [[nodiscard]] Failure const& failure() const noexcept { return failure_; }
  /// The exception of the rank that failed, where it is of this process; null elsewhere.
  [[nodiscard]] std::exception_ptr original() const noexcept { return original_; }

  /// Throws the failure if there is one. Cost without: one load.
  void check() const {
    if (failed()) {
      throw_failure();
    }
  }
  /// Waits for a failure until the deadline, and throws it. For a rank that only watches.
  void wait(Deadline const& deadline) {
    if (await(deadline)) {
      throw_failure();
    }
  }

  /// Calls `function()` and returns its result; `check` comes first.
  ///
  /// Errors: the first failure of any rank, see above. The exception of `function` itself where it
  /// was the first: then as an `Error` with rank, module and phase, whose original has its own
  /// type.
  template <class C, class Function>
    requires comm::HasAbort<C> && comm::HasRankAndSize<C>
  decltype(auto) run(C& comm, std::string_view module, std::string_view phase,
                     Function&& function) {
    check();
    try {
      return std::forward<Function>(function)();
    } catch (...) {
      fail_with_current(comm, module, phase);
    }
  }

  /// Forgets the failure, for a new start with another communicator. No rank may be in a call.
  /// `file`: as in the constructor, another one than before.
  void reset(std::string file = {}) {
    Hold const hold(monitor_);
    file_ = detail::FailureFile<Late>(std::move(file));
    failure_ = {};
    original_ = nullptr;
    set_failed(false);
  }

 private:
  // Compilers' own operations: <atomic> would be a tenth of what the header costs.
  void set_failed(bool value) noexcept { __atomic_store_n(&failed_, value, __ATOMIC_RELEASE); }

  [[noreturn]] void throw_failure() const {
    throw Error(failure_.code, text("failure of ", failure_.text()), failure_.culprit,
                failure_.native_code);
  }
  [[nodiscard]] bool await(Deadline const& deadline) {
    while (!failed()) {
      look_at_file();
      Hold const hold(monitor_);
      if (failed()) {
        return true;
      }
      if (deadline.passed()) {
        return false;
      }
      if (file_.named()) {
        monitor_.wait(Deadline::after(Milliseconds{20}));
      } else {
        monitor_.wait(deadline);
      }
    }
    return true;
  }
  void look_at_file() {
    Failure found;
    if (file_.find(found)) {
      Hold const hold(monitor_);
      if (!failed()) {
        failure_ = std::move(found);
        set_failed(true);
        monitor_.notify_all();
      }
    }
  }

  /// In a catch clause: records what was caught, unless it follows from another's failure, stops
  /// the other ranks, throws the first failure.
  template <class C>
  [[noreturn]] void fail_with_current(C& comm, std::string_view module, std::string_view phase) {
    Failure own;
    own.rank = comm.size() > 0 ? comm.world_rank(comm.rank()) : -1;
    own.culprit = own.rank;
    own.module = module;
    own.phase = phase;
    bool consequence = false;
    try {
      throw;
    } catch (Error const& error) {
      own.code = error.code();
      own.native_code = error.native_code();
      own.message = error.message();
      consequence = error.code() == Errc::aborted;
      Failure told;
      if (detail::find_failure(error.message(), told)) {  // thrown here, or brought by an abort
        own = std::move(told);
        consequence = false;
      } else {
        own.message += text(" (at ", error.location().file, ":", error.location().line, ")");
        own.culprit = error.rank() >= 0 ? error.rank() : own.rank;
      }
    } catch (std::exception const& error) {
      own.message = error.what();
    } catch (...) {
      own.message = "an exception of unknown type";
    }
    if (!consequence || !await(Deadline::after(patience_))) {
      raise(std::move(own), std::current_exception());
    }
    comm.abort(text("failure of ", failure_.text()));
    throw_failure();
  }

  Milliseconds patience_;
  detail::FailureFile<Late> file_;
  Monitor monitor_;
  Failure failure_;
  std::exception_ptr original_;
  bool failed_ = false;  // read without the lock
};

using ErrorSignal = BasicErrorSignal<>;

}  // namespace rlhf::inline v0::runtime
