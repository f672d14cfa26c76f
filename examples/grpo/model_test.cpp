// The example's model: gradients against finite differences, one model on 1, 2 and 4 tensor ranks,
// generation, optimizer, losses, tokenizer.
#include <rlhf/comm/local_world.hpp>

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "adamw.hpp"
#include "advantage.hpp"
#include "generate.hpp"
#include "losses.hpp"
#include "reward.hpp"
#include "tokenizer.hpp"
#include "transformer.hpp"

namespace {

using namespace grpo;
using rlhf::comm::Local;
using rlhf::comm::run_local;

constexpr std::uint64_t seed = 7;

TransformerConfig small_config() {
  return {.layers = 2,
          .hidden = 32,
          .heads = 4,
          .feed_forward = 48,
          .vocabulary = Tokenizer::size,
          .max_length = 16};
}

TokenBatch small_batch() {
  TokenBatch batch;
  batch.add(Tokenizer::encode("12+34="), Tokenizer::encode_answer("46"));
  batch.add(Tokenizer::encode("5-3="), Tokenizer::encode_answer("2"));
  batch.add(Tokenizer::encode("max(17,4)="), Tokenizer::encode_answer("17"));
  return batch;
}

/// A smooth loss that is different for every token.
TokenLoss test_loss(Index j, float log_probability) {
  float const weight = 0.5F + 0.25F * static_cast<float>(j);
  return {-weight * log_probability + 0.05F * log_probability * log_probability,
          -weight + 0.1F * log_probability};
}

double test_loss_sum(Transformer<Local>& model, TokenBatch const& batch) {
  double sum = 0;
  Index j = 0;
  for (float const log_probability : model.log_probabilities(batch)) {
    sum += static_cast<double>(test_loss(j++, log_probability).loss);
  }
  return sum;
}

/// Whole tensors, put together from the ranks' parts of `buffer`.
using WholeTensors = std::map<std::string, std::vector<float>>;

void collect(Transformer<Local> const& model, std::span<float> buffer, WholeTensors& out) {
  for (Parameter const& parameter : model.table().entries()) {
    auto const holding =
        parameter.shard.holding(parameter.shape, rlhf::Layout{.tensor = model.tensor().size()},
                                rlhf::Coordinate{.tensor = model.tensor().rank()});
    std::span<float> const part = parameter.in(buffer);
    std::vector<float>& whole = out[parameter.name];
    whole.resize(static_cast<std::size_t>(rlhf::element_count(holding.global)));
    Index const columns = holding.global.rank() == 2 ? holding.global[1] : 1;
    Index const part_columns = holding.global.rank() == 2 ? parameter.shape[1] : 1;
    for (rlhf::HeldBox const& held : holding.boxes) {
      Index const width = holding.global.rank() == 2 ? held.box.extent[1] : 1;
      Index const to = holding.global.rank() == 2 ? held.box.start[1] : 0;
      for (Index r = 0; r < held.box.extent[0]; ++r) {
        for (Index c = 0; c < width; ++c) {
          whole[static_cast<std::size_t>((held.box.start[0] + r) * columns + to + c)] =
              part[static_cast<std::size_t>((held.local_start[0] + r) * part_columns + c)];
        }
      }
    }
  }
}

/// What one layout makes of the batch.
struct Outcome {
  double loss = 0;
  double norm = 0;
  WholeTensors weights;
  WholeTensors gradients;
  std::vector<Answer> sampled;
  std::vector<Answer> likeliest;
};

std::vector<std::vector<Token>> prompts() {
  return {Tokenizer::encode("12+34="), Tokenizer::encode("5-3="), Tokenizer::encode("max(17,4)="),
          Tokenizer::encode("9")};
}

std::vector<GenerateRequest> requests(std::vector<std::vector<Token>> const& prompts) {
  std::vector<GenerateRequest> out;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    out.push_back({prompts[i], i});
  }
  return out;
}

Outcome outcome_on(int tensor_ranks) {
  Outcome out;
  run_local(tensor_ranks, [&](Local comm) {
    Transformer<Local> model(small_config(), comm, seed);
    double const loss = model.accumulate_gradients(small_batch(), test_loss);
    double const norm = global_norm(model.table(), model.gradients(), comm);
    auto const texts = prompts();
    auto const sampled =
        generate(model, requests(texts), {.samples = 3, .max_tokens = 6, .seed = seed});
    auto const likeliest =
        generate(model, requests(texts), {.choice = Choice::likeliest, .max_tokens = 6});
    for (int turn = 0; turn < comm.size(); ++turn) {  // one after the other into `out`
      comm.barrier();
      if (turn == comm.rank()) {
        collect(model, model.weights(), out.weights);
        collect(model, model.gradients(), out.gradients);
        out.loss = loss;
        out.norm = norm;
        out.sampled = sampled;
        out.likeliest = likeliest;
      }
    }
  });
  return out;
}

double largest_difference(std::vector<float> const& a, std::vector<float> const& b) {
  double largest = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    size = std::max(size, std::fabs(static_cast<double>(a[i])));
  }
  return largest / size;
}

}  // namespace

TEST_CASE("products agree with three loops, for sizes that fill no tile") {
  rlhf::CounterRandom const random(1, 2);
  for (Index const m : {1, 4, 7}) {
    for (Index const n : {1, 8, 19}) {
      for (Index const k : {1, 16, 300}) {
        std::vector<float> a(static_cast<std::size_t>(m * k));
        std::vector<float> b(static_cast<std::size_t>(k * n));
        for (std::size_t i = 0; i < a.size(); ++i) {
          a[i] = random.uniform(i) - 0.5F;
        }
        for (std::size_t i = 0; i < b.size(); ++i) {
          b[i] = random.uniform(i + 10'000) - 0.5F;
        }
        MatrixBuffer product;
        MatrixBuffer scratch;
        auto const expect = [&](Matrix c, double sign_of_start, auto left, auto right,
                                Index inner) {
          for (Index i = 0; i < c.rows; ++i) {
            for (Index j = 0; j < c.columns; ++j) {
              double sum = sign_of_start;
              for (Index l = 0; l < inner; ++l) {
                sum += static_cast<double>(left(i, l)) * static_cast<double>(right(l, j));
              }
              REQUIRE(static_cast<double>(c.row(i)[j]) == doctest::Approx(sum).epsilon(1e-4));
            }
          }
        };
        Matrix c = product.shape(m, n);
        multiply({a.data(), m, k}, {b.data(), k, n}, c);
        expect(
            c, 0, [&](Index i, Index l) { return a[static_cast<std::size_t>(i * k + l)]; },
            [&](Index l, Index j) { return b[static_cast<std::size_t>(l * n + j)]; }, k);
        multiply_by_transpose({a.data(), m, k}, {b.data(), n, k}, c, scratch);
        expect(
            c, 0, [&](Index i, Index l) { return a[static_cast<std::size_t>(i * k + l)]; },
            [&](Index l, Index j) { return b[static_cast<std::size_t>(j * k + l)]; }, k);
        std::fill(c.data, c.data + c.size(), 1.0F);
        add_transpose_product({a.data(), k, m}, {b.data(), k, n}, c);
        expect(
            c, 1, [&](Index i, Index l) { return a[static_cast<std::size_t>(l * m + i)]; },
            [&](Index l, Index j) { return b[static_cast<std::size_t>(l * n + j)]; }, k);
      }
    }
  }
}

TEST_CASE("the exponential is exact to two units in the last place") {
  for (int i = -8600; i < 8700; ++i) {
    float const x = static_cast<float>(i) * 0.01F;
    double const relative =
        static_cast<double>(exponential(x)) / std::exp(static_cast<double>(x)) - 1;
    REQUIRE(std::fabs(relative) < 2e-7);
  }
  CHECK(exponential(0.0F) == 1.0F);
  CHECK(exponential(-1e30F) > 0.0F);
  CHECK(std::isfinite(exponential(1e30F)));
}

TEST_CASE("gradients agree with finite differences, parameter by parameter") {
  run_local(1, [](Local comm) {
    Transformer<Local> model(small_config(), comm, seed);
    TokenBatch const batch = small_batch();
    double const loss = model.accumulate_gradients(batch, test_loss);
    CHECK(loss == doctest::Approx(test_loss_sum(model, batch)));
    for (Parameter const& parameter : model.table().entries()) {
      CAPTURE(parameter.name);
      std::span<float> const weights = parameter.in(model.weights());
      std::span<float> const gradients = parameter.in(model.gradients());
      std::vector<float> const before(weights.begin(), weights.end());
      double squares = 0;
      for (float const gradient : gradients) {
        squares += static_cast<double>(gradient) * static_cast<double>(gradient);
      }
      REQUIRE(squares > 0);
      // Along the gradient and along a direction that has nothing to do with it.
      for (bool const random : {false, true}) {
        rlhf::CounterRandom const draws(seed, 99);
        auto const step = static_cast<float>(0.02 / std::sqrt(squares));
        double expected = 0;
        std::vector<float> direction(weights.size());
        for (std::size_t i = 0; i < weights.size(); ++i) {
          direction[i] = gradients[i] * step * (random ? 2 * draws.uniform(i) : 1.0F);
          expected += static_cast<double>(direction[i]) * static_cast<double>(gradients[i]);
        }
        auto const loss_at = [&](float sign) {
          for (std::size_t i = 0; i < weights.size(); ++i) {
            weights[i] = before[i] + sign * direction[i];
          }
          return test_loss_sum(model, batch);
        };
        double const measured = (loss_at(1) - loss_at(-1)) / 2;
        CHECK(measured == doctest::Approx(expected).epsilon(0.01));
      }
      std::copy(before.begin(), before.end(), weights.begin());
    }
  });
}

TEST_CASE("one model on 1, 2 and 4 tensor ranks") {
  Outcome const one = outcome_on(1);
  for (int const ranks : {2, 4}) {
    CAPTURE(ranks);
    Outcome const many = outcome_on(ranks);
    CHECK(many.loss == doctest::Approx(one.loss).epsilon(1e-5));
    CHECK(many.norm == doctest::Approx(one.norm).epsilon(1e-4));
    REQUIRE(many.weights.size() == one.weights.size());
    for (auto const& named : one.weights) {
      std::string const& name = named.first;
      CAPTURE(name);
      CHECK(many.weights.at(name) == named.second);
      CHECK(largest_difference(one.gradients.at(name), many.gradients.at(name)) < 1e-4);
    }
    for (auto const answers : {&Outcome::sampled, &Outcome::likeliest}) {
      REQUIRE((many.*answers).size() == (one.*answers).size());
      for (std::size_t i = 0; i < (one.*answers).size(); ++i) {
        Answer const& a = (one.*answers)[i];
        Answer const& b = (many.*answers)[i];
        CHECK(a.tokens == b.tokens);
        for (std::size_t t = 0; t < a.tokens.size(); ++t) {
          CHECK(a.log_probabilities[t] == doctest::Approx(b.log_probabilities[t]).epsilon(1e-4));
        }
      }
    }
  }
}

TEST_CASE("an answer does not depend on how prompts are split into calls") {
  run_local(1, [](Local comm) {
    Transformer<Local> model(small_config(), comm, seed);
    auto const texts = prompts();
    auto const all = requests(texts);
    GenerateOptions const options{.samples = 4, .max_tokens = 6, .seed = 3, .episode = 5};
    auto const together = generate(model, all, options);
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto const alone = generate(model, std::span(all).subspan(i, 1), options);
      for (std::size_t k = 0; k < alone.size(); ++k) {
        CHECK(alone[k].tokens == together[i * alone.size() + k].tokens);
        CHECK(alone[k].log_probabilities == together[i * alone.size() + k].log_probabilities);
      }
    }
    auto other = options;
    other.episode = 6;
    bool differs = false;
    auto const later = generate(model, all, other);
    for (std::size_t i = 0; i < later.size(); ++i) {
      differs = differs || later[i].tokens != together[i].tokens;
    }
    CHECK(differs);
  });
}

TEST_CASE("cached generation and a whole pass give the same log-probabilities") {
  run_local(1, [](Local comm) {
    Transformer<Local> model(small_config(), comm, seed);
    auto const texts = prompts();
    auto const answers =
        generate(model, requests(texts), {.samples = 2, .max_tokens = 6, .seed = 11});
    TokenBatch batch;
    std::vector<float> expected;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      batch.add(texts[i / 2], answers[i].tokens);
      expected.insert(expected.end(), answers[i].log_probabilities.begin(),
                      answers[i].log_probabilities.end());
    }
    auto const whole = model.log_probabilities(batch);
    REQUIRE(whole.size() == expected.size());
    for (std::size_t j = 0; j < whole.size(); ++j) {
      CHECK(whole[j] == doctest::Approx(expected[j]).epsilon(1e-4));
    }
  });
}

TEST_CASE("sampling follows the probabilities") {
  int counts[3] = {};
  for (int i = 0; i < 1000; ++i) {
    float logits[3] = {std::log(0.2F), std::log(0.5F), std::log(0.3F)};
    ++counts[choose_token(logits, Choice::sample, (static_cast<float>(i) + 0.5F) / 1000.0F)];
  }
  CHECK(counts[0] == doctest::Approx(200).epsilon(0.01));
  CHECK(counts[1] == doctest::Approx(500).epsilon(0.01));
  CHECK(counts[2] == doctest::Approx(300).epsilon(0.01));
}

TEST_CASE("a batch or a prompt that the model cannot read is refused") {
  run_local(1, [](Local comm) {
    Transformer<Local> model(small_config(), comm, seed);
    auto const text = Tokenizer::encode("12345678901234");
    GenerateRequest const request{text, 0};
    CHECK_THROWS_AS((void)generate(model, std::span(&request, 1), {.max_tokens = 4}), rlhf::Error);
    TokenBatch batch;
    batch.add(Tokenizer::encode("12345678901234567"), Tokenizer::encode_answer("8"));
    CHECK_THROWS_AS((void)model.log_probabilities(batch), rlhf::Error);
  });
  CHECK_THROWS_AS(run_local(3, [](Local comm) { Transformer<Local>(small_config(), comm, seed); }),
                  rlhf::Error);
}

TEST_CASE("AdamW agrees with its formula in double") {
  AdamWOptions const options{.first_decay = 0.9F,
                             .second_decay = 0.99F,
                             .epsilon = 1e-8F,
                             .weight_decay = 0.1F,
                             .max_norm = 1.0};
  std::vector<float> weights{0.5F, -2.0F, 3.0F};
  AdamW optimizer(3, options);
  std::vector<double> twin(weights.begin(), weights.end());
  std::vector<double> first(3);
  std::vector<double> second(3);
  for (int step = 1; step <= 20; ++step) {
    std::vector<float> gradients(3);
    double squares = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      gradients[i] = std::sin(static_cast<float>(step) * (static_cast<float>(i) + 1));
      squares += static_cast<double>(gradients[i]) * static_cast<double>(gradients[i]);
    }
    double const norm = std::sqrt(squares);
    optimizer.step(weights, gradients, norm, 0.05F);
    for (std::size_t i = 0; i < 3; ++i) {
      double const gradient = static_cast<double>(gradients[i]) / std::max(1.0, norm);
      first[i] = 0.9 * first[i] + 0.1 * gradient;
      second[i] = 0.99 * second[i] + 0.01 * gradient * gradient;
      double const first_hat = first[i] / (1 - std::pow(0.9, step));
      double const second_hat = second[i] / (1 - std::pow(0.99, step));
      twin[i] -= 0.05 * (first_hat / (std::sqrt(second_hat) + 1e-8) + 0.1 * twin[i]);
      CHECK(weights[i] == doctest::Approx(twin[i]).epsilon(1e-4));
    }
  }
  CHECK_THROWS_AS(optimizer.step(weights, weights, std::nan(""), 0.1F), rlhf::Error);
}

TEST_CASE("the policy loss: slope, clip and divergence") {
  PolicyLossOptions const options{.clip = 0.2F, .kl_coefficient = 0.1F};
  for (float const advantage : {-1.0F, 0.5F}) {
    for (float const now : {-0.5F, -1.0F, -1.9F}) {
      PolicyTerms const terms{advantage, -1.0F, -1.2F};
      PolicyLoss const at = policy_loss(now, terms, options);
      float const h = 1e-3F;
      float const slope =
          (policy_loss(now + h, terms, options).loss - policy_loss(now - h, terms, options).loss) /
          (2 * h);
      CHECK(at.slope == doctest::Approx(slope).epsilon(0.01));
      CHECK(at.kl >= 0.0F);
    }
  }
  CHECK(policy_loss(-0.5F, {1.0F, -1.0F, -0.5F}, options).clipped);
  CHECK(policy_loss(-0.5F, {1.0F, -1.0F, -0.5F}, options).slope == 0.0F);
  CHECK(!policy_loss(-0.5F, {-1.0F, -1.0F, -0.5F}, options).clipped);
}

TEST_CASE("advantages, reward, tokenizer") {
  std::vector<float> const rewards{1, 0, 0, 1};
  std::vector<float> advantages(4);
  group_advantages(rewards, advantages);
  CHECK(advantages[0] == doctest::Approx(1).epsilon(0.001));
  CHECK(advantages[1] == doctest::Approx(-1).epsilon(0.001));
  group_advantages(std::vector<float>{1, 1, 1, 1}, advantages);
  CHECK(advantages == std::vector<float>{0, 0, 0, 0});

  CHECK(exact_match_reward(Tokenizer::encode_answer("46"), "46") == 1.0F);
  CHECK(exact_match_reward(Tokenizer::encode("46"), "46") == 0.0F);
  CHECK(exact_match_reward(Tokenizer::encode_answer("461"), "46") == 0.0F);
  CHECK(exact_match_reward(Tokenizer::encode_answer("4"), "46") == 0.0F);

  CHECK(Tokenizer::decode(Tokenizer::encode_answer("a ~B")) == "a ~B");
  CHECK_THROWS_AS((void)Tokenizer::encode("caf\xc3\xa9"), rlhf::Error);
}
