// Any text is a state of a sampler, or of a loader, that writes itself back, or refused with an
// Error that is one line.
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/data/loader_state.hpp>
#include <rlhf/data/sampler.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace data = rlhf::data;

namespace {

/// The checksum would hide what lies before it from the fuzzer: it is set to what it has to be.
std::string with_its_checksum(std::string content) {
  std::size_t const line = content.rfind("checksum = ");
  if (line != content.npos && (line == 0 || content[line - 1] == '\n')) {
    content.resize(line);
    content +=
        "checksum = " + data::hex_text(rlhf::Fingerprint().add(std::string_view(content)).value()) +
        "\n";
  }
  return content;
}

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

/// What a run does that has such a state and options made from it.
void go_on(data::SamplerState const& state) {
  data::SamplerOptions options;
  options.dataset_sizes = state.dataset_sizes;
  options.ratios = state.ratios;
  options.samples_per_episode = state.samples_per_episode < 100 ? state.samples_per_episode : 12;
  options.repeats = state.repeats < 100 ? state.repeats : 1;
  options.shuffle = state.shuffle;
  options.repeat = state.repeat;
  options.seed = state.seed;
  options.seeding = state.seeding;
  options.dataset_fingerprints = state.dataset_fingerprints;
  for (data::ShareStage const& stage : state.stages) {
    data::MixStage& mix = options.schedule.emplace_back();
    mix.begin = stage.begin;
    for (std::int64_t const share : stage.shares) {
      mix.weights.push_back(static_cast<double>(share));
    }
  }
  data::Sampler<data::KeyedOrder> sampler(options);
  sampler.restore(
      state,
      {.dataset_sizes = true, .contents = true, .ratios = true, .episode = true, .order = true});
  std::vector<data::Draw> draws;
  sampler.next(0, 1, draws);
  for (data::Draw const& draw : draws) {
    std::size_t const dataset = static_cast<std::size_t>(draw.dataset);
    require(dataset < options.dataset_sizes.size() && draw.index >= 0 &&
            draw.index < options.dataset_sizes[dataset]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  std::string content;
  for (std::size_t i = 0; i < size; ++i) {
    content.push_back(static_cast<char>(bytes[i]));
  }
  content = with_its_checksum(content);
  data::SamplerState read;
  try {
    if (content.starts_with(data::loader_state_format)) {
      data::LoaderState const loader = data::parse_loader_state(content, "fuzz");
      require(data::parse_loader_state(data::to_text(loader), "again") == loader);
      read = loader.sampler;
    } else {
      read = data::parse_sampler_state(content, "fuzz");
    }
  } catch (rlhf::Error const& error) {
    require(std::string_view(error.message()).find('\n') == std::string_view::npos);
    return 0;
  }
  require(data::parse_sampler_state(data::to_text(read), "again") == read);
  std::int64_t smallest = data::whole_share;  // blocks are long where a weight is small
  for (data::ShareStage const& stage : read.stages) {
    for (std::int64_t const share : stage.shares) {
      smallest = share > 0 && share < smallest ? share : smallest;
    }
  }
  if (smallest > data::whole_share / 1000 && read.stages.size() < 20) {
    try {
      go_on(read);
    } catch (rlhf::Error const&) {
    }
  }
  return 0;
}
