/// @file
/// Where a rank's bytes are. Layer: runtime.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/runtime/detail/name_table.hpp>
#include <rlhf/runtime/detail/name_union.hpp>
#include <rlhf/runtime/detail/table.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace rlhf::inline v0::runtime {

/// Memory of this process, in bytes; -1 where the system does not say.
struct ProcessMemory {
  std::int64_t resident = -1;  ///< Now in memory.
  std::int64_t peak = -1;      ///< The most there was since the start of the process.

  /// Cost: reads one file of the system.
  [[nodiscard]] static ProcessMemory now() noexcept {
    ProcessMemory memory;
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) {
      memory.peak = static_cast<std::int64_t>(usage.ru_maxrss) * 1024;  // NOLINT: a union
    }
    char words[128];
    int const file = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t const size = file < 0 ? 0 : ::read(file, words, sizeof words);
    if (file >= 0) {
      ::close(file);
    }
    ssize_t at = 0;
    while (at < size && words[at] != ' ') {
      ++at;
    }
    std::int64_t pages = 0;
    bool any = false;
    for (++at; at < size && words[at] >= '0' && words[at] <= '9'; ++at) {
      pages = pages * 10 + (words[at] - '0');
      any = true;
    }
    if (any) {
      memory.resident = pages * static_cast<std::int64_t>(::sysconf(_SC_PAGESIZE));
      memory.peak = memory.peak < memory.resident ? memory.resident : memory.peak;
    }
    return memory;
  }
};

/// One name over the ranks that have it.
template <class Late = void>
struct BasicMemoryRow {
  std::string name;
  int ranks = 0;           ///< That have it.
  std::int64_t total = 0;  ///< Bytes of all ranks.
  std::int64_t least = 0;
  std::int64_t most = 0;
  int largest = -1;  ///< World rank that has `most`.
};
using MemoryRow = BasicMemoryRow<>;

/// Bytes by name, filled by whoever owns them.
///
///     rlhf::runtime::MemoryReport report;
///     report.add("policy/weights", bytes);
///     report.add("policy/optimizer", more);
///     report.add_process();                        // process/resident, process/peak
///     auto const rows = report.reduce(comm);       // over ranks
///     log_rank_0(to_string(rows))
///
/// Ranks that are threads share a process: its rows then say the same on each. Memory of devices:
/// cuda/memory_report.hpp. Thread safety: one caller.
template <class Late = void>
class BasicMemoryReport {
 public:
  using Rows = std::vector<BasicMemoryRow<rlhf::detail::late<void, Late>>>;

  /// Adds to what a name has.
  void add(std::string_view name, std::int64_t bytes) {
    auto const number = static_cast<std::size_t>(names_.of(name));
    if (number == bytes_.size()) {
      bytes_.push_back(0);
    }
    bytes_[number] += bytes;
  }
  void add_process() {
    ProcessMemory const memory = ProcessMemory::now();
    add("process/resident", memory.resident);
    add("process/peak", memory.peak);
  }
  [[nodiscard]] std::int64_t bytes(std::string_view name) const {
    int const number = names_.find(name);
    return number < 0 ? 0 : bytes_[static_cast<std::size_t>(number)];
  }
  /// Calls `visit(name, bytes)` in the order names came.
  template <class Visit>
  void visit(Visit&& visit) const {
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      visit(names_[static_cast<int>(i)], bytes_[i]);
    }
  }
  void clear() {
    names_.clear();
    bytes_.clear();
  }

  /// Over the ranks of `comm`; collective, the same on every rank. A rank without a name does not
  /// count for it.
  template <comm::Communicator C>
  [[nodiscard]] Rows reduce(C& comm) const {
    detail::NameUnion<Late> names;
    names.update(
        comm, names_.size(), [&, this](int i) { return names_[i]; }, [](int) { return 0; },
        [](int) { return "a number of bytes"; });
    auto const size = static_cast<std::size_t>(names.size());
    auto const ranks = static_cast<std::size_t>(comm.size());
    constexpr std::int64_t missing = (std::numeric_limits<std::int64_t>::min)();
    std::vector<rlhf::detail::late<std::int64_t, Late>> mine(size, missing);
    std::vector<rlhf::detail::late<std::int64_t, Late>> all(size * ranks);
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      mine[static_cast<std::size_t>(names.place(static_cast<int>(i)))] = bytes_[i];
    }
    if (size != 0) {
      comm.all_gather(mine.data(), all.data(), static_cast<std::int64_t>(size), DType::i64, {});
    }
    Rows rows(size);
    for (std::size_t i = 0; i < size; ++i) {
      auto& row = rows[i];
      row.name = names.name(static_cast<int>(i));
      for (std::size_t r = 0; r < ranks; ++r) {
        std::int64_t const bytes = all[r * size + i];
        if (bytes == missing) {
          continue;
        }
        row.total += bytes;
        row.least = row.ranks == 0 || bytes < row.least ? bytes : row.least;
        if (row.ranks == 0 || bytes > row.most) {
          row.most = bytes;
          row.largest = comm.world_rank(static_cast<int>(r));
        }
        ++row.ranks;
      }
    }
    return rows;
  }

 private:
  detail::NameTable<Late> names_;
  std::vector<rlhf::detail::late<std::int64_t, Late>> bytes_;
};
using MemoryReport = BasicMemoryReport<>;

/// `1.50 GiB`, `12 B`.
template <class = void>
[[nodiscard]] std::string bytes_text(std::int64_t bytes) {
  constexpr std::string_view units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while ((value >= 1024 || value <= -1024) && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return rlhf::text(detail::fixed(value, unit == 0 ? 0 : 2), " ", units[unit]);
}

/// A table for people.
template <class Late>
[[nodiscard]] std::string to_string(std::vector<BasicMemoryRow<Late>> const& rows) {
  detail::Table<Late> table({"memory", "ranks", "min", "max", "largest", "total"});
  for (BasicMemoryRow<Late> const& row : rows) {
    table.row({row.name, rlhf::text(row.ranks), bytes_text(row.least), bytes_text(row.most),
               rlhf::text("rank ", row.largest), bytes_text(row.total)});
  }
  return table.text();
}

}  // namespace rlhf::inline v0::runtime
