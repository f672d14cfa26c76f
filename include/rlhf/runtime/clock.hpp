/// @file
/// The clock that timers and traces read, as a policy. Layer: runtime.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/hash.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace rlhf::inline v0::runtime {

/// The monotonic clock of the system. Another clock has the same two functions; tests bring one
/// that stands still.
struct SteadyClock final {
  /// Nanoseconds since a moment that all processes with the same `id()` share.
  [[nodiscard]] static std::int64_t now() noexcept { return steady_nanoseconds(); }

  /// Which clock it is: the boot of the machine and the time namespace of the process. Cost: reads
  /// two files of the system.
  [[nodiscard]] static std::uint64_t id() noexcept {
    char text[128];
    Fingerprint which;
    int const file = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t count = file < 0 ? 0 : ::read(file, text, sizeof text);
    if (file >= 0) {
      ::close(file);
    }
    which.add(std::string_view(static_cast<char const*>(text),
                               count > 0 ? static_cast<std::size_t>(count) : 0));
    count = ::readlink("/proc/self/ns/time", text, sizeof text);
    which.add(std::string_view(static_cast<char const*>(text),
                               count > 0 ? static_cast<std::size_t>(count) : 0));
    return which.value();
  }
};

}  // namespace rlhf::inline v0::runtime
