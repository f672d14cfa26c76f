// Any text is a parameter list, or refused with an Error; any list can be placed, or is refused.
#include <rlhf/adapters/model_json.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/model.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace plan = rlhf::plan;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string content;
  for (std::size_t i = 0; i < size; ++i) {
    content.push_back(static_cast<char>(data[i]));
  }
  try {
    plan::ModelList const model = plan::read_model(content, "fuzz");
    plan::Side side;
    side.layout = {.tensor = 2, .pipeline = 2, .expert = 2, .fsdp = 3};
    side.expert_tensor = 1;
    static_cast<void>(plan::place(model, side));
  } catch (rlhf::Error const&) {
  }
  return 0;
}
