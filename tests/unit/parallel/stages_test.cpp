#include <rlhf/parallel/stages.hpp>

#include <string>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Error;
using rlhf::Stages;

namespace {

template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
    return "nothing was thrown";
  } catch (Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return error.what();
  }
}

bool says(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("even: the first stages get one more") {
  Stages const stages = Stages::even(7, 3);
  CHECK(stages.layers() == 7);
  CHECK(stages.stages() == 3);
  CHECK(stages.layers_of(0) == std::vector<int>{0, 1, 2});
  CHECK(stages.layers_of(1) == std::vector<int>{3, 4});
  CHECK(stages.layers_of(2) == std::vector<int>{5, 6});
  CHECK(stages.stage_of(4) == 1);
  CHECK(Stages::even(2, 3).layers_of(2).empty());
}

TEST_CASE("uneven, and any map") {
  CHECK(Stages::uneven({1, 0, 2}) == Stages::map({0, 2, 2}, 3));
  CHECK(Stages::uneven({3, 4}, 7).layers_of(1) == std::vector<int>{3, 4, 5, 6});
  CHECK(Stages::map({1, 0, 1}, 2).layers_of(1) == std::vector<int>{0, 2});
}

TEST_CASE("interleaved: Megatron's virtual stages") {
  // 8 layers, 2 stages, 2 chunks: stage 0 has 0 1 4 5.
  Stages const stages = Stages::interleaved(8, 2, 2);
  CHECK(stages.layers_of(0) == std::vector<int>{0, 1, 4, 5});
  CHECK(stages.layers_of(1) == std::vector<int>{2, 3, 6, 7});
  CHECK(Stages::interleaved(6, 3, 1) == Stages::even(6, 3));
}

TEST_CASE("every layer is in exactly one stage") {
  for (int layers = 0; layers < 40; ++layers) {
    for (int count = 1; count < 9; ++count) {
      Stages const stages = Stages::even(layers, count);
      int seen = 0;
      for (int stage = 0; stage < count; ++stage) {
        for (int const layer : stages.layers_of(stage)) {
          CHECK(layer == seen++);
          CHECK(stages.stage_of(layer) == stage);
        }
      }
      CHECK(seen == layers);
    }
  }
}

TEST_CASE("layers that nobody holds and stages that do not exist are named") {
  CHECK(says(refusal([] { static_cast<void>(Stages::uneven({3, 4}, 9)); }), "layers 7 to 8"));
  CHECK(says(refusal([] { static_cast<void>(Stages::uneven({3, 4}, 6)); }), "there are 6"));
  CHECK(says(refusal([] { static_cast<void>(Stages::uneven({3, -1})); }), "-1 layers"));
  CHECK(says(refusal([] { static_cast<void>(Stages::uneven({})); }), "at least one stage"));
  CHECK(says(refusal([] { static_cast<void>(Stages::map({0, 2}, 2)); }), "layer 1"));
  CHECK(says(refusal([] { static_cast<void>(Stages::map({0, -1}, 2)); }), "stage -1"));
  CHECK(says(refusal([] { static_cast<void>(Stages::interleaved(9, 2, 2)); }), "9 layers"));
  CHECK_THROWS_AS(static_cast<void>(Stages::interleaved(8, 2, 0)), Error);
  CHECK_THROWS_AS(static_cast<void>(Stages::even(8, 0)), Error);
  CHECK_THROWS_AS(static_cast<void>(Stages::even(-1, 2)), Error);
  Stages const stages = Stages::even(4, 2);
  CHECK(says(refusal([&] { static_cast<void>(stages.stage_of(4)); }), "no layer 4 of 4"));
  CHECK(says(refusal([&] { static_cast<void>(stages.stage_of(-1)); }), "no layer -1"));
  CHECK(says(refusal([&] { static_cast<void>(stages.layers_of(2)); }), "no stage 2 of 2"));
}
