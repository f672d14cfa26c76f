/// @file
/// The first failure of a job whose ranks are processes, in a file. Layer: runtime, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/runtime/failure.hpp>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace rlhf::inline v0::runtime::detail {

/// A file that the first of several processes makes, whole. What the system refuses is no error:
/// there is one already, and it must not hide behind another.
template <class Late = void>
class FailureFile {
 public:
  using Failure = BasicFailure<rlhf::detail::late<void, Late>>;

  FailureFile() = default;
  explicit FailureFile(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] bool named() const noexcept { return !path_.empty(); }

  /// Writes the failure, unless there is one; false where another process was first. True without
  /// a name, and where the file cannot be written.
  [[nodiscard]] bool put(Failure const& failure) const noexcept try {
    if (!named()) {
      return true;
    }
    std::string const partial = text(path_, ".", ::getpid(), "-", steady_nanoseconds());
    std::string const words =
        text(failure.culprit, " ", failure.native_code, " ", failure_mark, failure.text());
    int const file = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0) {
      return true;
    }
    bool const whole =
        ::write(file, words.data(), words.size()) == static_cast<ssize_t>(words.size());
    ::close(file);
    // A link is made by one process only, on file systems of a network, too.
    bool const first = whole && ::link(partial.c_str(), path_.c_str()) == 0;
    ::unlink(partial.c_str());
    return first || ::access(path_.c_str(), F_OK) != 0;
  } catch (...) {
    return true;
  }

  /// The failure in the file; false where there is none.
  [[nodiscard]] bool find(Failure& found) const {
    int const file = named() ? ::open(path_.c_str(), O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) {
      return false;
    }
    std::string words;
    char room[4096];
    char const* const begin = room;
    for (ssize_t count = 0; (count = ::read(file, room, sizeof room)) > 0;) {
      words.append(begin, static_cast<std::size_t>(count));
    }
    ::close(file);
    if (!find_failure(std::string_view(words), found)) {
      return false;
    }
    char* end = nullptr;
    found.culprit = static_cast<int>(std::strtol(words.c_str(), &end, 10));
    found.native_code = static_cast<int>(std::strtol(end, nullptr, 10));
    return true;
  }

 private:
  std::string path_;
};

}  // namespace rlhf::inline v0::runtime::detail
