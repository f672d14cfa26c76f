/// @file
/// A file that grows at its end. Layer: runtime.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/system_error.hpp>

#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rlhf::inline v0::runtime {

/// Creates a directory and those above it, unless they exist. Errors: io.
template <class = void>
void make_directories(std::string const& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    std::string const part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0777) != 0 && errno != EEXIST) {
      fail_system("create directory", part, errno);
    }
    if (end == std::string::npos) {
      return;
    }
  }
}

/// Appends bytes, each call one `write` where the system takes it whole.
template <class Late = void>
class BasicAppendFile {
 public:
  /// What to do with a file of that name. `whole_lines`: append, behind a line feed where the last
  /// line was torn.
  enum class Mode : unsigned char { create, whole_lines };

  /// Errors: io. `Mode::create` refuses a file that exists, with `native_code() == EEXIST`.
  BasicAppendFile(std::string path, Mode mode) : path_(std::move(path)) {
    int const flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | (mode == Mode::create ? O_EXCL : 0);
    do {
      file_ = ::open(path_.c_str(), flags, 0666);
    } while (file_ < 0 && errno == EINTR);
    if (file_ < 0) {
      fail_system("open", path_, errno);
    }
    off_t const size = mode == Mode::whole_lines ? ::lseek(file_, 0, SEEK_END) : 0;
    char last = '\n';
    if (size > 0 && ::pread(file_, &last, 1, size - 1) == 1 && last != '\n') {
      append("\n");
    }
  }
  BasicAppendFile(BasicAppendFile&& other) noexcept
      : path_(std::move(other.path_)),
        file_(std::exchange(other.file_, -1)) {}
  BasicAppendFile(BasicAppendFile const&) = delete;
  BasicAppendFile& operator=(BasicAppendFile const&) = delete;
  BasicAppendFile& operator=(BasicAppendFile&&) = delete;
  ~BasicAppendFile() {
    if (file_ >= 0) {
      ::close(file_);
    }
  }

  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  /// Errors: io; a part may have been written.
  void append(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t const written = ::write(file_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) {
        continue;
      }
      if (written <= 0) {
        fail_system("write", path_, written < 0 ? errno : EIO);
      }
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

 private:
  std::string path_;
  int file_ = -1;
};
using AppendFile = BasicAppendFile<>;

}  // namespace rlhf::inline v0::runtime
