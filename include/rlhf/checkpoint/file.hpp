/// @file
/// Reads a file; replaces a file so that it is the old one or the new one. Layer: checkpoint.
#pragma once

#include <rlhf/checkpoint/detail/system.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::checkpoint {

/// The bytes of a text.
template <class Late = void>
[[nodiscard]] std::span<rlhf::detail::late<std::byte, Late> const> as_bytes(
    std::string_view text) noexcept {
  return std::as_bytes(std::span<rlhf::detail::late<char, Late> const>(text.data(), text.size()));
}
/// Bytes as a text.
template <class Late = void>
[[nodiscard]] std::string_view as_text(
    std::span<rlhf::detail::late<std::byte, Late> const> bytes) noexcept {
  return std::string_view(reinterpret_cast<char const*>(bytes.data()), bytes.size());
}

/// Replaces the file by these bytes. At any moment, also after a crash or a loss of power, the path
/// names either the whole old file or the whole new one.
///
/// Writes `<path>.<process>-<time>.partial` beside it, flushes, renames, flushes the directory. A
/// process that is killed may leave the partial file behind.
/// Errors: io naming the path and the system's reason; the old file is then still there.
template <class Late = void>
void write_atomically(std::string const& path,
                      std::span<rlhf::detail::late<std::byte, Late> const> bytes) {
  std::string const partial = text(path, ".", ::getpid(), "-", steady_nanoseconds(), ".partial");
  try {
    detail::write_new(partial, bytes);
    detail::rename_path(partial, path);
  } catch (...) {
    ::unlink(partial.c_str());
    throw;
  }
  detail::flush_directory(detail::parent_of(path));
}

/// The whole content of a file. Errors: io naming the path and the system's reason.
template <class Late = void>
[[nodiscard]] std::vector<rlhf::detail::late<std::byte, Late>> read_file(std::string const& path) {
  detail::Descriptor const file(path, O_RDONLY, "open");
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    detail::fail_system("look at", path, errno);
  }
  std::vector<rlhf::detail::late<std::byte, Late>> bytes(
      status.st_size > 0 ? static_cast<std::size_t>(status.st_size) : 0);
  std::size_t filled = 0;
  while (true) {
    if (filled == bytes.size()) {  // one more try beyond the size tells whether the file grew
      bytes.resize(filled + 4096);
    }
    std::size_t const room = bytes.size() - filled;
    constexpr std::size_t most = std::size_t{1} << 30;
    ssize_t const count = detail::uninterrupted(
        [&] { return ::read(file.get(), bytes.data() + filled, room < most ? room : most); });
    if (count < 0) {
      detail::fail_system("read", path, errno);
    }
    if (count == 0) {
      bytes.resize(filled);
      return bytes;
    }
    filled += static_cast<std::size_t>(count);
  }
}

}  // namespace rlhf::inline v0::checkpoint
