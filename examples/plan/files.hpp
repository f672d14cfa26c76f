/// @file
/// Whole files to text and back.
#pragma once

#include <rlhf/core/error.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

namespace planner {

/// Errors: io. `what` is for the message.
[[nodiscard]] inline std::string read_file(std::string_view what, std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content;
  char block[4096];
  while (file.read(block, sizeof block) || file.gcount() > 0) {  // throws nothing, for a folder too
    content.append(block, static_cast<std::size_t>(file.gcount()));
  }
  if (!file.eof() || file.bad()) {
    rlhf::fail(rlhf::Errc::io, fmt::format("{} {} cannot be read: {}", what, path,
                                           std::generic_category().message(errno)));
  }
  return content;
}

inline void write_file(std::string_view what, std::string const& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file) {
    rlhf::fail(rlhf::Errc::io, fmt::format("{} {} cannot be written: {}", what, path,
                                           std::generic_category().message(errno)));
  }
}

}  // namespace planner
