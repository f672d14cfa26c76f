// The parts of examples/ppo against definitions, finite differences and single ranks.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/core/rng.hpp>

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "advantages.hpp"
#include "scalar_head.hpp"
#include "scorers.hpp"
#include "values.hpp"
#include "warm_up.hpp"

namespace {

using grpo::Index;
using rlhf::CounterRandom;
using rlhf::comm::Local;

constexpr grpo::TransformerConfig small{
    .layers = 1, .hidden = 16, .heads = 4, .feed_forward = 8, .max_length = 8};

grpo::TokenBatch batch() {
  ppo::TokenRows prompts;
  ppo::TokenRows answers;
  prompts.push_back(grpo::Tokenizer::encode("1+2="));
  answers.push_back(grpo::Tokenizer::encode_answer("3"));
  prompts.push_back(grpo::Tokenizer::encode("9+9="));
  answers.push_back(grpo::Tokenizer::encode_answer("18"));
  return ppo::whole_sequences_of(prompts, answers);
}
/// A loss that tells positions apart.
ppo::ScalarLoss loss(Index j, float scalar) {
  float const away = scalar - 0.5F * static_cast<float>(j);
  return {0.5F * away * away, away};
}

std::vector<float> numbers(std::size_t count, std::uint64_t stream) {
  CounterRandom const random(7, stream);
  std::vector<float> out;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(2 * random.uniform(i) - 1);
  }
  return out;
}

}  // namespace

TEST_CASE("the scalar head's gradient is the slope of its loss") {
  rlhf::comm::run_local(1, [](Local world) {
    grpo::Transformer<Local> model(small, world, 1);
    grpo::TokenBatch const all = batch();
    auto const total = [&] {
      double sum = 0;
      std::vector<float> const out = ppo::scalars(model, all);
      for (std::size_t j = 0; j < out.size(); ++j) {
        sum += static_cast<double>(loss(static_cast<Index>(j), out[j]).loss);
      }
      return sum;
    };
    double const sum = ppo::accumulate_scalar_gradients(model, all, loss);
    CHECK(sum == doctest::Approx(total()).epsilon(1e-4));
    double largest = 0;
    for (grpo::Parameter const& parameter : model.table().entries()) {
      for (Index e : {Index{0}, parameter.elements / 2, parameter.elements - 1}) {
        auto const at = static_cast<std::size_t>(parameter.offset + e);
        float const was = model.weights()[at];
        float const step = 1e-2F;
        model.weights()[at] = was + step;
        double const above = total();
        model.weights()[at] = was - step;
        double const below = total();
        model.weights()[at] = was;
        double const slope = (above - below) / (2.0 * static_cast<double>(step));
        CAPTURE(parameter.name);
        CHECK(static_cast<double>(model.gradients()[at]) ==
              doctest::Approx(slope).epsilon(0.02).scale(1));
        largest = std::max(largest, std::fabs(slope));
      }
    }
    CHECK(largest > 0.1);  // there was something to compare
  });
}

TEST_CASE("scalars are the same on two tensor ranks") {
  std::vector<float> one;
  std::vector<float> two;
  for (int const ranks : {1, 2}) {
    rlhf::comm::run_local(ranks, [&](Local world) {
      grpo::Transformer<Local> model(small, world, 1);
      std::vector<float> const out = ppo::scalars(model, batch());
      if (world.rank() == 0) {
        (ranks == 1 ? one : two) = out;
      }
    });
  }
  REQUIRE(one.size() == 5);  // one a token of the answers
  for (std::size_t j = 0; j < one.size(); ++j) {
    CHECK(one[j] == doctest::Approx(static_cast<double>(two[j])).epsilon(1e-4));
  }
}

TEST_CASE("advantages are discounted sums of what was better than expected") {
  for (std::size_t tokens = 1; tokens <= 6; ++tokens) {
    std::vector<float> const rewards = numbers(tokens, tokens);
    std::vector<float> const values = numbers(tokens, 100 + tokens);
    std::vector<float> advantages(tokens);
    double const gamma = 0.9;
    double const lambda = 0.7;
    ppo::estimate_advantages(rewards, values, 0.9F, 0.7F, advantages);
    for (std::size_t t = 0; t < tokens; ++t) {
      double expected = 0;
      for (std::size_t k = t; k < tokens; ++k) {
        double const next = k + 1 < tokens ? static_cast<double>(values[k + 1]) : 0;
        double const delta =
            static_cast<double>(rewards[k]) + gamma * next - static_cast<double>(values[k]);
        expected += std::pow(gamma * lambda, static_cast<double>(k - t)) * delta;
      }
      CHECK(static_cast<double>(advantages[t]) == doctest::Approx(expected).epsilon(1e-4));
    }
  }
  // With lambda 1 and gamma 1 the critic's part cancels: advantage + value is the sum of rewards.
  std::vector<float> advantages(3);
  ppo::estimate_advantages(std::vector<float>{1, 2, 4}, std::vector<float>{5, -3, 8}, 1, 1,
                           advantages);
  CHECK(advantages[0] + 5 == doctest::Approx(7));
  CHECK(advantages[2] + 8 == doctest::Approx(4));
}

TEST_CASE("whitening is over all ranks, however rows are spread") {
  std::vector<float> const all = numbers(12, 3);
  std::vector<float> whole = all;
  rlhf::comm::run_local(1, [&](Local world) { ppo::whiten(world, whole); });
  double mean = 0;
  double squares = 0;
  for (float const value : whole) {
    mean += static_cast<double>(value) / 12;
    squares += static_cast<double>(value) * static_cast<double>(value) / 12;
  }
  CHECK(std::fabs(mean) < 1e-6);
  CHECK(squares == doctest::Approx(1).epsilon(1e-4));
  rlhf::comm::run_local(3, [&](Local world) {
    std::size_t const begin = world.rank() == 0 ? 0 : world.rank() == 1 ? 2 : 5;
    std::size_t const end = world.rank() == 0 ? 2 : world.rank() == 1 ? 5 : 12;
    std::vector<float> part(all.begin() + static_cast<std::ptrdiff_t>(begin),
                            all.begin() + static_cast<std::ptrdiff_t>(end));
    ppo::whiten(world, part);
    for (std::size_t i = begin; i < end; ++i) {
      CHECK(part[i - begin] == doctest::Approx(static_cast<double>(whole[i])).epsilon(1e-5));
    }
  });
}

TEST_CASE("slopes of the losses of a scalar") {
  auto const slope_of = [](auto const& function, float at) {
    float const step = 1e-3F;
    return (function(at + step).loss - function(at - step).loss) / (2 * step);
  };
  CounterRandom const random(11, 0);
  int held = 0;
  for (std::uint64_t i = 0; i < 300; i += 3) {
    float const old = 2 * random.uniform(i) - 1;
    ppo::ValueTerms const terms{old, 2 * random.uniform(i + 1) - 1};
    float const value = old + random.uniform(i + 2) - 0.5F;
    auto const critic = [&](float v) { return ppo::value_loss(v, terms, 0.2F); };
    if (std::fabs(std::fabs(value - old) - 0.2F) < 0.01F) {
      continue;  // a corner
    }
    float const free = 0.5F * (value - terms.target) * (value - terms.target);
    CHECK(critic(value).loss >= doctest::Approx(free));  // never less than without a clip
    held += critic(value).slope == 0 ? 1 : 0;
    if (std::fabs(critic(value + 2e-3F).slope - critic(value - 2e-3F).slope) < 0.01F) {
      CHECK(critic(value).slope == doctest::Approx(slope_of(critic, value)).epsilon(0.01).scale(1));
    }
    bool const right = i % 2 == 0;
    auto const judge = [&](float s) { return ppo::judgement_loss(s, right); };
    CHECK(judge(3 * value).slope ==
          doctest::Approx(slope_of(judge, 3 * value)).epsilon(0.01).scale(1));
  }
  CHECK(held > 5);
  CHECK(ppo::judgement_loss(80, false).loss == doctest::Approx(80));
  CHECK(ppo::judgement_loss(-80, false).loss == doctest::Approx(0));
}

TEST_CASE("lessons: wrong answers are wrong, and right until they are not") {
  for (int value : {0, 1, 7, 9, 10, 42, 99, 108}) {
    std::string const words = std::to_string(value);
    grpo::Prompt const prompt{grpo::Tokenizer::encode("?"), words,
                              grpo::Tokenizer::encode_answer(words)};
    for (std::uint64_t place = 0; place < 400; place += 2) {
      std::vector<ppo::Token> const wrong = ppo::wrong_answer(prompt, CounterRandom(1, 2), place);
      CHECK(wrong != prompt.answer_tokens);
      CHECK(wrong.back() == grpo::Tokenizer::end);
    }
  }
  ppo::Lessons lessons;
  auto const encode = [](char const* words) { return grpo::Tokenizer::encode_answer(words); };
  lessons.add(encode("?"), encode("42"), encode("42"));
  lessons.add(encode("?"), encode("43"), encode("42"));
  lessons.add(encode("?"), encode("422"), encode("42"));
  lessons.add(encode("?"), encode("4"), encode("42"));
  CHECK(lessons.right == std::vector<char>{1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0});
}
