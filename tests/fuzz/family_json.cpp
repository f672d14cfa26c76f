// Any text is a table of a family, or refused with an Error; any table gives a model, which can be
// placed and visited, or is refused.
#include <rlhf/adapters/family_json.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/model.hpp>
#include <rlhf/sync/families.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace plan = rlhf::plan;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string content;
  for (std::size_t i = 0; i < size; ++i) {
    content.push_back(static_cast<char>(data[i]));
  }
  plan::ModelSizes const sizes{2, 8, 4, 2, 3, 6, 4, 5, 11, size % 2 == 0};
  plan::Side side;
  side.layout = {.tensor = 2, .pipeline = 2, .expert = 2};
  side.expert_tensor = 1;
  try {
    plan::Family const family = plan::read_family(content, "fuzz");
    for (plan::FamilyStyle const style :
         {plan::FamilyStyle::trainer, plan::FamilyStyle::server, plan::FamilyStyle::canonical}) {
      try {
        rlhf::sync::visit_family(
            family, sizes, style, side, side.layout.coordinate(5),
            [](std::string_view, rlhf::Shape const& shape) {
              return rlhf::TensorView{
                  nullptr, rlhf::DType::bf16, {}, shape, rlhf::row_major_strides(shape)};
            },
            [&](std::string_view, rlhf::TensorView const& view, auto const& rule) {
              static_cast<void>(rule.holding(view.shape, side.layout, side.layout.coordinate(5)));
            });
      } catch (rlhf::Error const&) {
      }
    }
    static_cast<void>(plan::place(plan::canonical_model(family, sizes), side));
  } catch (rlhf::Error const&) {
  }
  return 0;
}
