/// @file
/// Runs the phases of an engine: times and traces them, gives their errors a name. Layer: engine,
/// private.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/runtime/error_signal.hpp>
#include <rlhf/runtime/nvtx.hpp>
#include <rlhf/runtime/phase.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace rlhf::inline v0::engine::detail {

/// A name with a zero behind it, shortened, for NVTX.
struct TerminatedName {
  explicit TerminatedName(std::string_view name) noexcept {
    if constexpr (runtime::nvtx_enabled) {
      std::size_t const length =
          name.size() < sizeof characters ? name.size() : sizeof characters - 1;
      for (std::size_t i = 0; i < length; ++i) {
        characters[i] = name[i];
      }
      characters[length] = 0;
    }
  }
  char characters[runtime::nvtx_enabled ? 64 : 1] = {};
};

template <class C>
class Watch {
 public:
  Watch(C& world, std::size_t trace_events) : world_(&world), trace_(trace_events) {}

  /// Runs a phase of a part under the name `span` in timers and trace. What goes wrong in it gets
  /// the name of the part and the phase, and ends the waits of other ranks.
  template <class Phase>
  void run(std::string_view part, std::string_view phase, std::string_view span,
           Phase&& run_phase) {
    runtime::Phase const timed(&timers_, &trace_, span, phase);
    runtime::NvtxRange const range(TerminatedName(span).characters);
    if (signal_ != nullptr) {
      signal_->check();
    }
    try {
      run_phase();
    } catch (...) {
      fail_with_current(part, phase);
    }
  }

  [[nodiscard]] std::int64_t episode() const noexcept { return episode_; }
  void set_episode(std::int64_t episode) noexcept { episode_ = episode; }
  void use(runtime::ErrorSignal& signal) noexcept { signal_ = &signal; }
  [[nodiscard]] runtime::Timers& timers() noexcept { return timers_; }
  [[nodiscard]] runtime::Trace& trace() noexcept { return trace_; }

 private:
  /// In a catch clause.
  [[noreturn]] void fail_with_current(std::string_view part, std::string_view phase) {
    if (signal_ != nullptr) {
      signal_->run(*world_, part, text(phase, " of episode ", episode_), [] { throw; });
    }
    try {
      throw;
    } catch (Error const& error) {
      throw Error(error.code(), failed(part, phase, error.message()),
                  error.rank() < 0 ? world_->rank() : error.rank(), error.native_code(),
                  error.location());
    } catch (std::exception const& error) {
      throw Error(Errc::aborted, failed(part, phase, error.what()), world_->rank());
    } catch (...) {
      throw Error(Errc::aborted, failed(part, phase, "an exception of unknown type"),
                  world_->rank());
    }
  }
  [[nodiscard]] std::string failed(std::string_view part, std::string_view phase,
                                   std::string_view what) {
    std::string message =
        text(part, ", ", phase, " of episode ", episode_, " on rank ", world_->rank(), ": ", what);
    world_->abort(message);
    return message;
  }

  C* world_;
  runtime::Timers timers_;
  runtime::Trace trace_;
  runtime::ErrorSignal* signal_ = nullptr;
  std::int64_t episode_ = 0;
};

}  // namespace rlhf::inline v0::engine::detail
