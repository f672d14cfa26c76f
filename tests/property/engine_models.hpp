// Integer models of an RLHF loop, and the same loop written out for one rank, for the laws of
// engines: what the models compute does not depend on how they are laid out.
#pragma once

#include <rlhf/comm/local.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/rows.hpp>
#include <rlhf/data/sampler.hpp>
#include <rlhf/engine/engine.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/groups.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/sync/policies.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace toy {

using rlhf::comm::Local;
using namespace rlhf::literals;

inline constexpr std::int64_t width = 24;  // divisible by every tensor size used
inline constexpr std::int64_t modulus = 1'000'003;

[[nodiscard]] inline std::int64_t mix(std::int64_t a, std::int64_t b) {
  return (a * 7919 + b * 104729 + 12345) % modulus;
}

struct Prompts {
  std::vector<std::int64_t> id;
  rlhf::data::Rows<std::int32_t> words;
  std::vector<std::string> text;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("id", id);
    visit("words", words);
    visit("text", text);
  }
};
struct Answers {
  std::vector<std::int64_t> id;
  rlhf::data::Rows<std::int64_t> tokens;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("id", id);
    visit("tokens", tokens);
  }
};
struct Scores {
  std::vector<std::int64_t> score;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("score", score);
  }
};
struct Values {
  std::vector<std::int64_t> value;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("value", value);
  }
};
struct Experience {
  std::vector<std::int64_t> id;
  std::vector<std::int64_t> signal;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("id", id);
    visit("signal", signal);
  }
};

// What the models compute of one row, with whole weights.
[[nodiscard]] inline Prompts prompts_of(std::span<rlhf::data::Draw const> draws) {
  Prompts out;
  for (rlhf::data::Draw const& draw : draws) {
    std::int64_t const id = draw.dataset * 1000 + draw.index;
    out.id.push_back(id);
    std::vector<std::int32_t> words;
    for (std::int64_t w = 0; w < 1 + id % 4; ++w) {
      words.push_back(static_cast<std::int32_t>(mix(id, w)));
    }
    out.words.push_back(words);
    out.text.push_back("prompt " + std::to_string(id));
  }
  return out;
}
[[nodiscard]] inline std::int64_t part_of_token(std::int64_t word, std::int64_t j,
                                                std::int64_t weight) {
  return mix(word, j) % 97 * (weight % 97);
}
[[nodiscard]] inline std::int64_t gradient_of(std::int64_t id, std::int64_t signal, std::int64_t j,
                                              std::int64_t weight) {
  return mix(mix(id, signal), j + weight % 13) % 101;
}

/// What every model has: weights cut over the tensor axis, communicators, a record of calls.
template <class Sync, class Data = rlhf::data::None>
struct Weighted : rlhf::Module<rlhf::RuntimeGrid, Sync, Data> {
  using Base = rlhf::Module<rlhf::RuntimeGrid, Sync, Data>;

  Weighted(Local& world, rlhf::Mesh const& mesh, rlhf::Layout layout, std::int64_t seed)
      : Base(mesh, world.rank(), layout),
        comm(rlhf::module_communicator(world, mesh)) {
    if (this->present()) {
      groups.emplace(rlhf::make_groups(comm, this->layout()));
      rlhf::IndexRange const own =
          rlhf::split_evenly(width, this->layout().tensor, this->coordinate().tensor);
      first = own.begin;
      for (std::int64_t j = own.begin; j < own.end; ++j) {
        w.push_back(mix(seed, j));
      }
    }
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(w, {static_cast<std::int64_t>(w.size())}), rlhf::shard::rows());
  }
  /// Sums over the tensor group of `part(row, j, weight)`, one a row.
  template <class Part>
  std::vector<std::int64_t> sums(std::int64_t rows, Part part) {
    std::vector<std::int64_t> out(static_cast<std::size_t>(rows), 0);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::size_t j = 0; j < w.size(); ++j) {
        out[static_cast<std::size_t>(r)] += part(r, first + static_cast<std::int64_t>(j), w[j]);
      }
    }
    rlhf::comm::all_reduce(groups->tensor, std::span<std::int64_t>(out));
    return out;
  }
  /// Adds up gradients over all shares and steps.
  template <class Batch>
  std::int64_t step_on(std::span<Batch const> micro_batches) {
    std::vector<std::int64_t> gradient(w.size(), 0);
    for (Batch const& batch : micro_batches) {
      for (std::size_t r = 0; r < batch.id.size(); ++r) {
        for (std::size_t j = 0; j < w.size(); ++j) {
          gradient[j] +=
              gradient_of(batch.id[r], batch.signal[r], first + static_cast<std::int64_t>(j), w[j]);
        }
      }
    }
    rlhf::comm::all_reduce(groups->data, std::span<std::int64_t>(gradient));
    for (std::size_t j = 0; j < w.size(); ++j) {
      w[j] = (w[j] + gradient[j]) % modulus;
    }
    return gradient.empty() ? 0 : gradient[0];
  }
  void save_checkpoint(rlhf::checkpoint::FilesToSave& files, rlhf::Step) {
    std::vector<std::int64_t> own{first};
    own.insert(own.end(), w.begin(), w.end());
    files.write("w", std::as_bytes(std::span<std::int64_t const>(own)));
  }
  /// Whatever the layout that saved.
  void load_checkpoint(rlhf::checkpoint::FilesToLoad const& files, rlhf::Step) {
    for (int const rank : files.ranks("w")) {
      auto const bytes = files.read("w", rank);
      std::vector<std::int64_t> saved(bytes.size() / sizeof(std::int64_t));
      std::memcpy(saved.data(), bytes.data(), bytes.size());
      for (std::size_t i = 1; i < saved.size(); ++i) {
        std::int64_t const at = saved[0] + static_cast<std::int64_t>(i) - 1 - first;
        if (at >= 0 && at < static_cast<std::int64_t>(w.size())) {
          w[static_cast<std::size_t>(at)] = saved[i];
        }
      }
    }
  }

  Local comm;
  std::optional<rlhf::Groups<Local>> groups;
  std::vector<std::int64_t> w;
  std::int64_t first = 0;
};

using EverySync = rlhf::sync::Reshard<1_MiB>;
using SlowSync = rlhf::sync::Reshard<1_MiB, 2>;

struct Actor : Weighted<rlhf::sync::None> {
  using Weighted::Weighted;
  using Batch = Experience;
  static constexpr std::string_view name = "actor";
  std::int64_t train_step(std::span<Batch const> micro_batches, rlhf::Step) {
    if (fail_at >= 0 && --fail_at < 0) {
      throw rlhf::Error(rlhf::Errc::cuda, "out of memory");
    }
    return step_on(micro_batches);
  }
  int fail_at = -1;
};
template <class Sync>
struct Generator : Weighted<Sync, rlhf::data::RuntimeMixture<>> {
  using Weighted<Sync, rlhf::data::RuntimeMixture<>>::Weighted;
  using Batch = Prompts;
  static constexpr std::string_view name = "generator";
  Answers forward_step(Batch const& batch, rlhf::Step) {
    Answers out;
    out.id = batch.id;
    std::int64_t const positions = batch.words.positions();
    std::vector<std::int64_t> const sums =
        this->sums(positions, [&](std::int64_t p, std::int64_t j, std::int64_t weight) {
          return part_of_token(batch.words.values()[static_cast<std::size_t>(p)], j, weight);
        });
    std::int64_t at = 0;
    for (std::int64_t r = 0; r < batch.words.size(); ++r) {
      std::vector<std::int64_t> tokens;
      for (std::int64_t p = 0; p < batch.words.length(r); ++p) {
        tokens.push_back(mix(sums[static_cast<std::size_t>(at++)], this->episode().value));
      }
      out.tokens.push_back(tokens);
    }
    return out;
  }
};
/// Scores answers under the first weights, beside their prompts.
struct Reference : Weighted<rlhf::sync::Reshard<1_MiB, 0>> {
  using Weighted::Weighted;
  using Inputs = rlhf::Inputs<Prompts, Answers>;
  static constexpr std::string_view name = "reference";
  struct Batch {
    Batch(Prompts const& asked, Answers const& given) : prompts(asked), answers(given) {}
    Prompts prompts;
    Answers answers;
  };
  Scores forward_step(Batch const& batch, rlhf::Step) {
    Scores out;
    out.score = sums(static_cast<std::int64_t>(batch.answers.id.size()),
                     [&](std::int64_t r, std::int64_t j, std::int64_t weight) {
                       return score_part(batch.prompts.text[static_cast<std::size_t>(r)],
                                         batch.answers.tokens[r], j, weight);
                     });
    return out;
  }
  static std::int64_t score_part(std::string const& words, std::span<std::int64_t const> tokens,
                                 std::int64_t j, std::int64_t weight) {
    std::int64_t sum = static_cast<std::int64_t>(words.size());
    for (std::int64_t const token : tokens) {
      sum = mix(sum, token);
    }
    return part_of_token(sum, j, weight);
  }
};
/// Estimates answers, and is trained.
struct Critic : Weighted<rlhf::sync::None> {
  using Weighted::Weighted;
  using Batch = Answers;
  using TrainBatch = Experience;
  static constexpr std::string_view name = "critic";
  Values forward_step(Batch const& batch, rlhf::Step) {
    Values out;
    out.value = sums(static_cast<std::int64_t>(batch.id.size()),
                     [&](std::int64_t r, std::int64_t j, std::int64_t weight) {
                       return part_of_token(batch.id[static_cast<std::size_t>(r)], j, weight);
                     });
    return out;
  }
  std::int64_t train_step(std::span<TrainBatch const> micro_batches, rlhf::Step) {
    return step_on(micro_batches);
  }
};

[[nodiscard]] inline Experience experience_of(Answers const& answers, Scores const& scores,
                                              Values const& values) {
  Experience out;
  out.id = answers.id;
  for (std::size_t r = 0; r < answers.id.size(); ++r) {
    std::int64_t sum = mix(scores.score[r], values.value[r]);
    for (std::int64_t const token : answers.tokens[static_cast<std::int64_t>(r)]) {
      sum = mix(sum, token);
    }
    out.signal.push_back(sum);
  }
  return out;
}

}  // namespace toy
