/// @file
/// Reads a text file line by line, without the cost of <fstream>. Layer: checkpoint.
#pragma once

#include <rlhf/checkpoint/detail/system.hpp>

#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::checkpoint {

/// Calls `line(std::string_view)` for each line of a file, without its end (LF or CRLF).
///
/// Cost: 256 KiB and one line in memory. Errors: io naming the path and the system's reason.
template <class Line>
void for_each_line(std::string const& path, Line&& line) {
  detail::Descriptor const file(path, O_RDONLY, "open");
  std::vector<char> chunk(std::size_t{1} << 18);
  std::string pending;
  auto const emit = [&](std::string_view found) {
    if (found.ends_with('\r')) {
      found.remove_suffix(1);
    }
    line(found);
  };
  while (true) {
    ssize_t const count =
        detail::uninterrupted([&] { return ::read(file.get(), chunk.data(), chunk.size()); });
    if (count < 0) {
      detail::fail_system("read", path, errno);
    }
    if (count == 0) {
      break;
    }
    std::string_view rest(chunk.data(), static_cast<std::size_t>(count));
    for (std::size_t end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
      if (pending.empty()) {
        emit(rest.substr(0, end));
      } else {
        pending.append(rest.substr(0, end));
        emit(pending);
        pending.clear();
      }
      rest.remove_prefix(end + 1);
    }
    pending.append(rest);
  }
  if (!pending.empty()) {
    emit(pending);
  }
}

}  // namespace rlhf::inline v0::checkpoint
