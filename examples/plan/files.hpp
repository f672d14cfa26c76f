/// @file
/// Whole files to text and back.
#pragma once

#include <rlhf/core/error.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

namespace planner {

/// Errors: io. `what` is for the message.
[[nodiscard]] inline std::string read_file(std::string_view what, std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content;
  if (file) {
    content.assign(std::istreambuf_iterator<char>(file), {});
  }
  if (!file || file.bad()) {
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
