/// @file
/// What is wrong between settings that are each right by themselves. Layer: config.
#pragma once

#include <rlhf/core/text.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::config {

/// A setting that does not fit another one.
struct Fault {
  std::string path{};  ///< `models.policy.num_gpu`; of a section where several keys are at fault.
  std::string message{};  ///< What must hold, and what to do.
};

using Faults = std::vector<Fault>;

namespace detail {

/// Collects faults of settings below one path.
class Checks {
 public:
  Checks(Faults& out, std::string path) : out_(&out), path_(std::move(path)) {}

  /// A fault of `key` unless `right`; the parts of the message are joined only then.
  template <class... Parts>
  void require(bool right, std::string_view key, Parts const&... message) const {
    if (!right) {
      out_->push_back({key.empty() ? path_ : text(path_, ".", key), text(message...)});
    }
  }

 private:
  Faults* out_;
  std::string path_;
};

}  // namespace detail
}  // namespace rlhf::inline v0::config
