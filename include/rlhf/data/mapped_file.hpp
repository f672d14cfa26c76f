/// @file
/// A file as memory, without reading it. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/system_error.hpp>

#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rlhf::inline v0::data {

/// A regular file mapped for reading. Pages come from the page cache when they are looked at.
///
/// The file must not be made shorter while it is mapped: the system ends processes that look at
/// pages that are gone. Replace files by renaming, which leaves a mapping as it was.
/// Thread safety: reading from any number of threads.
class MappedFile {
 public:
  /// Errors: io naming the path; invalid_argument for what is not a regular file.
  explicit MappedFile(std::string path) : path_(std::move(path)) {
    int file = -1;
    do {
      file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not wait
    } while (file < 0 && errno == EINTR);
    if (file < 0) {
      fail_system("open", path_, errno);
    }
    struct stat status {};
    int error = ::fstat(file, &status) != 0 ? errno : 0;
    bool const regular = error == 0 && S_ISREG(status.st_mode);
    if (regular && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      void* const mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
      error = mapped == MAP_FAILED ? errno : 0;
      data_ = error == 0 ? static_cast<char const*>(mapped) : nullptr;
    }
    ::close(file);  // the mapping stays
    if (error != 0) {
      fail_system("map", path_, error);
    }
    if (!regular) {
      fail(Errc::invalid_argument, text(path_, " is not a regular file and cannot be mapped"));
    }
  }
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  MappedFile(MappedFile const&) = delete;
  MappedFile& operator=(MappedFile const&) = delete;
  ~MappedFile() {
    if (data_ != nullptr) {
      ::munmap(const_cast<char*>(data_), size_);
    }
  }

  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  /// All bytes. The view stays valid when the object is moved, until the one that holds it ends.
  [[nodiscard]] std::string_view content() const noexcept { return {data_, size_}; }

 private:
  std::string path_;
  char const* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace rlhf::inline v0::data
