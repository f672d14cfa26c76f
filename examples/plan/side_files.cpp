#include "side_files.hpp"

#include <rlhf/adapters/detail/json_text.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "files.hpp"

namespace planner {
namespace {

constexpr std::size_t most_slots = 1 << 20;

template <class... Values>
[[noreturn]] void refuse(fmt::format_string<Values...> format, Values&&... values) {
  rlhf::fail(rlhf::Errc::invalid_argument, fmt::format(format, std::forward<Values>(values)...));
}

}  // namespace

void apply_stages(StageMap const& map, int layers, rlhf::plan::Side& side) {
  if (map.numbers.empty()) {
    return;
  }
  int const stages = side.layout.pipeline;
  std::vector<int>& out = side.stage_of_layer;
  switch (map.form) {
    case StageMap::Form::uneven: {
      std::int64_t sum = 0;
      for (int const count : map.numbers) {
        sum += count;
      }
      if (std::ssize(map.numbers) != stages || sum != layers) {
        refuse(
            "{} uneven gives {} layers to {} stages; the model has {} layers, the layout {} stages",
            map.option, sum, map.numbers.size(), layers, stages);
      }
      for (int stage = 0; stage < stages; ++stage) {
        out.insert(out.end(),
                   static_cast<std::size_t>(map.numbers[static_cast<std::size_t>(stage)]), stage);
      }
      break;
    }
    case StageMap::Form::interleaved: {
      std::int64_t const chunks = std::int64_t{map.numbers.front()} * stages;
      if (layers % chunks != 0) {
        refuse(
            "{} interleaved cuts {} layers into {} chunks for {} stages, which do not divide them",
            map.option, layers, chunks, stages);
      }
      for (int layer = 0; layer < layers; ++layer) {
        out.push_back(static_cast<int>(layer / (layers / chunks) % stages));
      }
      break;
    }
    case StageMap::Form::map:
      if (std::ssize(map.numbers) != layers) {
        refuse("{} map names the stages of {} layers; the model has {}", map.option,
               map.numbers.size(), layers);
      }
      for (int const stage : map.numbers) {
        if (stage >= stages) {
          refuse("{} map names stage {}; the layout has {} stages", map.option, stage, stages);
        }
      }
      out = map.numbers;
      break;
  }
}

void apply_experts(std::string const& path, rlhf::plan::Side& side) {
  nlohmann::json const file =
      rlhf::adapters::detail::json_of(read_file("expert table", path), "expert table", path);
  if (!file.is_array() || file.empty() || file.size() > most_slots) {
    refuse("expert table {}: expected a list of experts, one for each of at most {} slots", path,
           most_slots);
  }
  for (std::size_t slot = 0; slot < file.size(); ++slot) {
    auto const& one = file[slot];
    if (!one.is_number_integer() || one.get<std::int64_t>() < 0 ||
        one.get<std::int64_t>() > std::int64_t{1} << 20) {
      refuse("expert table {}, slot {}: expected the number of an expert from 0", path, slot);
    }
    side.expert_slots.push_back(one.get<int>());
  }
}

}  // namespace planner
