/// @file
/// Which pipeline stage holds which layer. Layer: parallel.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>

#include <cstddef>
#include <utility>
#include <vector>

namespace rlhf::inline v0 {

/// A stage for every layer of a model. Layers and stages count from 0; a stage may hold none.
/// (A template so that including this costs little; `Stages` is the only instance.)
template <class T = void>
class BasicStages {
 public:
  using Numbers = std::vector<detail::late<int, T>>;

  /// Consecutive layers, the first stages one more where they do not divide.
  [[nodiscard]] static BasicStages even(int layers, int stages) {
    check(layers, stages);
    Numbers counts;
    for (int stage = 0; stage < stages; ++stage) {
      counts.push_back(static_cast<int>(split_evenly(layers, stages, stage).size()));
    }
    return uneven(std::move(counts), layers);
  }

  /// Consecutive layers, `counts[i]` for stage i. `layers`, where given, is what they must add up
  /// to. Errors: invalid_argument naming the layers that nobody holds, or that are too many.
  [[nodiscard]] static BasicStages uneven(Numbers counts, int layers = -1) {
    Numbers stages;
    for (std::size_t stage = 0; stage < counts.size(); ++stage) {
      if (counts[stage] < 0) {
        fail(Errc::invalid_argument,
             text("stage ", stage, " cannot hold ", counts[stage], " layers"));
      }
      stages.insert(stages.end(), static_cast<std::size_t>(counts[stage]), static_cast<int>(stage));
    }
    auto const held = static_cast<int>(stages.size());
    if (layers >= 0 && held != layers) {
      fail(Errc::invalid_argument,
           held < layers ? text("the stages hold ", held, " layers of ", layers,
                                "; nobody holds layers ", held, " to ", layers - 1)
                         : text("the stages hold ", held, " layers, but there are ", layers));
    }
    return BasicStages(std::move(stages), static_cast<int>(counts.size()));
  }

  /// Virtual stages: the layers make `chunks` rounds over all stages, an equal number of layers
  /// each time. Errors: invalid_argument where stages * chunks does not divide the layers.
  /// Source: Megatron's interleaved schedule.
  [[nodiscard]] static BasicStages interleaved(int layers, int stages, int chunks) {
    check(layers, stages);
    expects(chunks >= 1, "an interleaved pipeline needs at least one chunk a stage");
    int const parts = checked_multiply(stages, chunks);
    if (layers % parts != 0) {
      fail(Errc::invalid_argument, text(layers, " layers do not divide over ", stages,
                                        " stages of ", chunks, " chunks each"));
    }
    Numbers of;
    for (int layer = 0; layer < layers; ++layer) {
      of.push_back(layer / (layers / parts) % stages);
    }
    return BasicStages(std::move(of), stages);
  }

  /// Any deal: `stage_of_layer[i]` holds layer i. Errors: invalid_argument naming a layer whose
  /// stage does not exist.
  [[nodiscard]] static BasicStages map(Numbers stage_of_layer, int stages) {
    return BasicStages(std::move(stage_of_layer), stages);
  }

  [[nodiscard]] int layers() const noexcept { return static_cast<int>(stage_of_.size()); }
  [[nodiscard]] int stages() const noexcept { return stages_; }

  /// Errors: invalid_argument where there is no such layer.
  [[nodiscard]] int stage_of(int layer) const {
    if (layer < 0 || layer >= layers()) {
      fail(Errc::invalid_argument, text("there is no layer ", layer, " of ", layers()));
    }
    return stage_of_[static_cast<std::size_t>(layer)];
  }
  /// The layers of a stage, in rising order: the i-th is the one that the stage numbers i.
  /// Errors: invalid_argument where there is no such stage.
  [[nodiscard]] Numbers layers_of(int stage) const {
    if (stage < 0 || stage >= stages_) {
      fail(Errc::invalid_argument, text("there is no stage ", stage, " of ", stages_));
    }
    Numbers out;
    for (int layer = 0; layer < layers(); ++layer) {
      if (stage_of_[static_cast<std::size_t>(layer)] == stage) {
        out.push_back(layer);
      }
    }
    return out;
  }
  bool operator==(BasicStages const&) const = default;

 private:
  BasicStages(Numbers stage_of, int stages) : stage_of_(std::move(stage_of)), stages_(stages) {
    check(layers(), stages);
    for (std::size_t layer = 0; layer < stage_of_.size(); ++layer) {
      if (stage_of_[layer] < 0 || stage_of_[layer] >= stages) {
        fail(Errc::invalid_argument, text("layer ", layer, " is given to stage ", stage_of_[layer],
                                          ", but there are ", stages, ": nobody holds it"));
      }
    }
  }
  static void check(int layers, int stages) {
    expects(layers >= 0, "the number of layers must not be negative");
    expects(stages >= 1, "a pipeline needs at least one stage");
  }

  Numbers stage_of_;
  int stages_ = 1;
};
using Stages = BasicStages<>;

}  // namespace rlhf::inline v0
