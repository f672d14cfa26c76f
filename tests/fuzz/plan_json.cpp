// Any text is a plan that can be used, or refused with an Error that is one line.
#include <rlhf/adapters/plan_json.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/cost.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/schedule.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace plan = rlhf::plan;

namespace {

/// The fingerprint would hide what lies behind it from the fuzzer: the stored one is replaced by
/// the one that the reader asks for.
std::string with_its_fingerprint(std::string content) {
  try {
    static_cast<void>(plan::plan_from_json(content, "fuzz"));
  } catch (rlhf::Error const& error) {
    constexpr std::string_view words = "fingerprint: expected 0x";
    std::string_view const reason = error.message();
    std::size_t const known = reason.find(words);
    std::size_t const stored = content.find("\"fingerprint\":\"");
    if (known != reason.npos && stored != content.npos) {
      std::size_t const begin = stored + 15;
      std::size_t const end = content.find('"', begin);
      if (end != content.npos) {
        content.replace(begin, end - begin, reason.substr(known + words.size() - 2, 18));
      }
    }
  }
  return content;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string content;
  for (std::size_t i = 0; i < size; ++i) {
    content.push_back(static_cast<char>(data[i]));
  }
  content = with_its_fingerprint(content);
  plan::Plan read;
  try {
    read = plan::plan_from_json(content, "fuzz");
  } catch (rlhf::Error const&) {
    return 0;
  }
  if (plan::plan_from_json(plan::to_json(read), "again") != read) {
    std::abort();
  }
  static_cast<void>(plan::kinds_of(read));
  static_cast<void>(plan::flows_of(read));
  static_cast<void>(plan::predict(read, plan::Topology::of_hosts(read.world, 2)));
  if (read.bytes_on_links < 1'000'000 && read.moves.size() < 100) {
    static_cast<void>(plan::schedule(read));
  }
  return 0;
}
