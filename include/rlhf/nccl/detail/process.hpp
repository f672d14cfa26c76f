/// @file
/// Whether a process of this host still runs. Layer: nccl, private.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rlhf::inline v0::nccl::detail {

/// When a process started, in ticks since boot: with the process id it names one process for good.
/// 0 for a process that is gone or a zombie, and where there is no /proc.
inline std::uint64_t process_start(int pid) noexcept {
  char path[48];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int const file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return 0;
  }
  char stat_text[1024];
  ssize_t const size = read(file, stat_text, sizeof stat_text - 1);
  close(file);
  if (size <= 0) {
    return 0;
  }
  stat_text[size] = '\0';
  // The second field is the program's name in brackets and may hold anything, brackets too. Behind
  // its end come the state (field 3), and so on; field 22 is the start.
  char const* at = std::strrchr(stat_text, ')');
  if (at == nullptr || at[1] == '\0' || at[2] == 'Z' || at[2] == 'X') {
    return 0;
  }
  ++at;
  for (int field = 3; field < 22 && at != nullptr; ++field) {
    at = std::strchr(at + 1, ' ');
  }
  return at == nullptr ? 0 : std::strtoull(at + 1, nullptr, 10);
}

/// Whether the process that had this id and start still runs.
inline bool process_lives(int pid, std::uint64_t start) noexcept {
  if (start == 0) {  // no /proc here
    return kill(pid, 0) == 0 || errno == EPERM;
  }
  return process_start(pid) == start;
}

/// Number of the namespace that process ids count in: equal ids mean equal processes only within.
inline std::uint64_t process_namespace() noexcept {
  struct stat info {};
  return stat("/proc/self/ns/pid", &info) == 0 ? static_cast<std::uint64_t>(info.st_ino) : 0;
}

}  // namespace rlhf::inline v0::nccl::detail
