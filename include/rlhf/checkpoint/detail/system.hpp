/// @file
/// Files and directories of the operating system, errors as exceptions. Layer: checkpoint, private.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/system_error.hpp>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rlhf::inline v0::checkpoint::detail {

using rlhf::fail_system;

/// Calls a system function until no signal interrupts it.
template <class Call>
auto uninterrupted(Call&& call) noexcept {
  auto result = call();
  while (result == -1 && errno == EINTR) {
    result = call();
  }
  return result;
}

/// Owns a file descriptor.
class Descriptor {
 public:
  template <class = void>
  Descriptor(std::string const& path, int flags, std::string_view what)
      : value_(uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); })) {
    if (value_ < 0) {
      fail_system(what, path, errno);
    }
  }
  Descriptor(Descriptor const&) = delete;
  Descriptor& operator=(Descriptor const&) = delete;
  ~Descriptor() { close(); }

  [[nodiscard]] int get() const noexcept { return value_; }
  /// Closes; the error number, or 0. The descriptor is gone in any case.
  int close() noexcept {
    int const status = value_ >= 0 ? ::close(value_) : 0;
    value_ = -1;
    return status == 0 || errno == EINTR ? 0 : errno;
  }

 private:
  int value_;
};

template <class Late = void>
void write_all(Descriptor const& file, std::span<rlhf::detail::late<std::byte, Late> const> bytes,
               std::string const& path) {
  constexpr std::size_t most = std::size_t{1} << 30;  // below what one call takes
  while (!bytes.empty()) {
    std::size_t const now = bytes.size() < most ? bytes.size() : most;
    ssize_t const written = uninterrupted([&] { return ::write(file.get(), bytes.data(), now); });
    if (written <= 0) {
      fail_system("write", path, written < 0 ? errno : EIO);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

template <class = void>
void flush(Descriptor const& file, std::string const& path) {
  if (uninterrupted([&] { return ::fsync(file.get()); }) != 0) {
    fail_system("flush", path, errno);
  }
}

/// Makes the names in a directory survive a loss of power.
template <class = void>
void flush_directory(std::string const& path) {
  Descriptor const directory(path, O_RDONLY | O_DIRECTORY, "open directory");
  flush(directory, path);
}

/// Creates a file that must not exist, and writes and flushes it. The name is not flushed.
template <class Late = void>
void write_new(std::string const& path,
               std::span<rlhf::detail::late<std::byte, Late> const> bytes) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_EXCL, "create");
  write_all(file, bytes, path);
  flush(file, path);
  if (int const error = file.close(); error != 0) {
    fail_system("close", path, error);
  }
}

template <class = void>
[[nodiscard]] std::string parent_of(std::string const& path) {
  std::size_t const slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

template <class = void>
void rename_path(std::string const& from, std::string const& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    fail_system(text("rename ", from, " to"), to, errno);
  }
}

/// Whether there is a directory at that path; a link to one counts only if it is followed.
template <class = void>
[[nodiscard]] bool is_directory(std::string const& path, bool follow = false) noexcept {
  struct stat status {};
  return (follow ? ::stat(path.c_str(), &status) : ::lstat(path.c_str(), &status)) == 0 &&
         S_ISDIR(status.st_mode);
}

/// Creates a directory and those above it, unless they exist, so that they survive a loss of power.
/// Not `existing`, or above that: an error where it is not there.
template <class = void>
void make_directories(std::string const& path, std::string_view existing = "") {
  int made = ::mkdir(path.c_str(), 0777);
  if (made != 0 && errno == ENOENT && parent_of(path) != path && parent_of(path) != existing) {
    make_directories(parent_of(path), existing);
    made = ::mkdir(path.c_str(), 0777);
  }
  if (made == 0) {
    flush_directory(parent_of(path));
  } else if (int const error = errno; error != EEXIST) {
    fail_system("create directory", path, error);
  } else if (!is_directory(path, true)) {
    fail_system("create directory", path, ENOTDIR);
  }
}

/// Names in a directory, without `.` and `..`, in no order.
template <class Late = void>
[[nodiscard]] std::vector<rlhf::detail::late<std::string, Late>> names_in(std::string const& path) {
  struct Listing {
    explicit Listing(DIR* opened) noexcept : handle(opened) {}
    Listing(Listing const&) = delete;
    Listing& operator=(Listing const&) = delete;
    Listing(Listing&&) = delete;
    Listing& operator=(Listing&&) = delete;
    ~Listing() { ::closedir(handle); }
    DIR* handle;
  };
  DIR* const handle = ::opendir(path.c_str());
  if (handle == nullptr) {
    fail_system("read directory", path, errno);
  }
  Listing const listing(handle);
  std::vector<rlhf::detail::late<std::string, Late>> names;
  for (errno = 0; dirent const* const entry = ::readdir(listing.handle); errno = 0) {
    std::string_view const name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  if (errno != 0) {
    fail_system("read directory", path, errno);
  }
  return names;
}

/// Removes a file, or a directory with all that is in it; links are removed, not followed.
template <class Late = void>
void remove_tree(std::string const& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) {
      return;
    }
    fail_system("look at", path, errno);
  }
  bool const directory = S_ISDIR(status.st_mode);
  if (directory) {
    for (std::string const& name : names_in<Late>(path)) {
      remove_tree<Late>(text(path, "/", name));
    }
  }
  if ((directory ? ::rmdir(path.c_str()) : ::unlink(path.c_str())) != 0 && errno != ENOENT) {
    fail_system("remove", path, errno);
  }
}

/// Bytes of a regular file; -1 for anything else, or nothing, at that path.
template <class = void>
[[nodiscard]] long long size_of_file(std::string const& path) noexcept {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)
             ? static_cast<long long>(status.st_size)
             : -1;
}

}  // namespace rlhf::inline v0::checkpoint::detail
