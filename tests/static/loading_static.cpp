// What loading asks of its parts, and that the least of each will do.
#include <rlhf/checkpoint/rollouts.hpp>
#include <rlhf/checkpoint/stage_outputs.hpp>
#include <rlhf/data/batch.hpp>
#include <rlhf/data/loader.hpp>
#include <rlhf/data/pad_columns.hpp>
#include <rlhf/data/rollout_buffer.hpp>
#include <rlhf/data/sampler.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <archetypes/loading.hpp>

namespace {

namespace data = rlhf::data;

static_assert(data::Dataset<archetype::Dataset>);
static_assert(data::ItemSource<archetype::ItemSource>);
static_assert(data::ItemSource<data::DatasetItems<archetype::Dataset>>);
static_assert(data::DrawSource<archetype::DrawSource>);
static_assert(data::DrawSource<data::EpisodeDraws<data::Sampler<>>>);
static_assert(data::DrawsOfSampler<data::EpisodeDraws<data::Sampler<>>>);
static_assert(!data::DrawsOfSampler<archetype::DrawSource>);
static_assert(!data::DrawsOfSampler<data::EvaluationDraws>);
static_assert(data::Collate<archetype::Collate, archetype::ItemSource>);
static_assert(data::CollatesToValue<archetype::Collate, archetype::ItemSource>);
static_assert(!data::CollatesInto<archetype::Collate, archetype::ItemSource>);
static_assert(data::ColumnBatch<archetype::ColumnBatch>);

struct Unindexed {
  std::int64_t size() const { return 1; }
};
static_assert(!data::Dataset<Unindexed>);
struct OneArgument {
  int operator()(std::int64_t) const { return 0; }
};
static_assert(!data::ItemSource<OneArgument>);
struct NeverEnds {
  void next(data::DrawnShare&) {}
};
static_assert(!data::DrawSource<NeverEnds>);
struct OfStrings {
  int operator()(std::span<std::string const>) const { return 0; }
};
static_assert(!data::Collate<OfStrings, archetype::ItemSource>);

using Loader = data::Loader<archetype::DrawSource, archetype::ItemSource, archetype::Collate>;
static_assert(std::is_same_v<Loader::Batch, std::int64_t>);
static_assert(!std::is_copy_constructible_v<Loader> && !std::is_move_constructible_v<Loader>);

[[maybe_unused]] void use(data::RolloutBuffer<archetype::ColumnBatch>& buffer,
                          rlhf::checkpoint::StageOutputs const& stages) {
  archetype::ColumnBatch batch = data::join(data::split_by(buffer.training_set(), 2));
  rlhf::checkpoint::load_rollouts(rlhf::checkpoint::save_rollouts(buffer), buffer);
  stages.save({.model = "m"}, batch);
  static_cast<void>(stages.load({.model = "m"}, batch));
  data::pad_columns(batch, {}, [](auto, auto const&) {});
}

}  // namespace

// All of it compiles for the least there is.
template class rlhf::data::RolloutBuffer<archetype::ColumnBatch>;
template class rlhf::data::Loader<archetype::DrawSource, archetype::ItemSource, archetype::Collate>;
