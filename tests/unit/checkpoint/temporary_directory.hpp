// A directory for one test, removed with all that is in it at the end.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace test {

class TemporaryDirectory {
 public:
  /// Below `parent` if it is there, else where temporary files go.
  explicit TemporaryDirectory(std::string parent = "")
      : path_((!parent.empty() && std::filesystem::is_directory(parent)
                   ? std::filesystem::path(parent)
                   : std::filesystem::temp_directory_path())
                  .string() +
              "/rlhf-test-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) {
      throw std::runtime_error("cannot make a directory like " + path_);
    }
  }
  TemporaryDirectory(TemporaryDirectory const&) = delete;
  TemporaryDirectory& operator=(TemporaryDirectory const&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] std::string const& path() const { return path_; }
  [[nodiscard]] std::string operator/(std::string const& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace test
