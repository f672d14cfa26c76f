#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/stage_outputs.hpp>
#include <rlhf/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <unit/checkpoint/temporary_directory.hpp>
#include <unit/data/rollout.hpp>

namespace checkpoint = rlhf::checkpoint;
using checkpoint::Stage;

namespace {

Stage const stage{.model = "policy", .replica = 1, .replicas = 2, .episode = 3, .consumed = 96};

}  // namespace

TEST_CASE("outputs of a stage are found again by the same stage, and by no other") {
  test::TemporaryDirectory const directory;
  checkpoint::StageOutputs const outputs(directory / "stages");
  test::Rollout loaded;
  CHECK(outputs.load(stage, loaded).reason ==
        directory / "stages/episode-000000003/policy-replica-1" + " is not there");
  test::Rollout const made = test::rollout({{1, 2}, {3}}, 4);
  outputs.save(stage, made);
  CHECK(outputs.load(stage, loaded));
  CHECK(loaded == made);
  CHECK(checkpoint::StageOutputs(directory / "stages").load(stage, loaded));  // another process
  auto const refused = [&](auto&& change) {
    Stage other = stage;
    change(other);
    test::Rollout kept = test::rollout({{9}}, 9);
    checkpoint::StageFound const found = outputs.load(other, kept);
    CHECK(kept == test::rollout({{9}}, 9));
    return found ? std::string() : found.reason;
  };
  std::string const something_else = "belongs to something else:\nrlhf-stage 1\nmodel = policy\n";
  CHECK(refused([](Stage& s) { s.consumed = 64; }).find(something_else) != std::string::npos);
  CHECK(refused([](Stage& s) { s.replicas = 3; }).find(something_else) != std::string::npos);
  CHECK(refused([](Stage& s) { s.inputs = 1; }).find(something_else) != std::string::npos);
  CHECK(refused([](Stage& s) { s.episode = 4; }).find("is not there") != std::string::npos);
  CHECK(refused([](Stage& s) { s.replica = 0; }).find("is not there") != std::string::npos);
  CHECK(refused([](Stage& s) { s.model = "reward"; }).find("is not there") != std::string::npos);
}

TEST_CASE("outputs are replaced as a whole, and pruned by episode") {
  test::TemporaryDirectory const directory;
  checkpoint::StageOutputs const outputs(directory.path());
  std::filesystem::create_directory(directory / "episode-1");  // not how it writes them
  std::filesystem::create_directory(directory / "step-000000001");
  for (std::int64_t episode = 0; episode < 5; ++episode) {
    Stage at = stage;
    at.episode = episode;
    outputs.save(at, test::rollout({{1}}, 0));
    outputs.save(at, test::rollout({{2}}, 0));
    test::Rollout loaded;
    CHECK(outputs.load(at, loaded));
    CHECK(loaded == test::rollout({{2}}, 0));
  }
  outputs.prune(3);
  std::vector<std::string> names;
  for (auto const& entry : std::filesystem::directory_iterator(directory.path())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"episode-000000003", "episode-000000004", "episode-1",
                                          "step-000000001"});
}

TEST_CASE("damaged outputs are an error that names the file, which stays") {
  test::TemporaryDirectory const directory("/dev/shm");
  checkpoint::StageOutputs const outputs(directory.path());
  outputs.save(stage, test::rollout({{1, 2}, {3}}, 4));
  std::string const path = outputs.path(stage);
  std::vector<std::byte> const whole = checkpoint::read_file(path);
  test::Rollout loaded;
  for (std::size_t i = 0; i < whole.size(); i += 5) {
    std::vector<std::byte> changed = whole;
    changed[i] ^= std::byte{16};
    checkpoint::write_atomically(path, changed);
    CHECK_THROWS_WITH_AS(outputs.load(stage, loaded), doctest::Contains(path.c_str()), rlhf::Error);
    changed.resize(i);
    checkpoint::write_atomically(path, changed);
    CHECK_THROWS_AS(outputs.load(stage, loaded), rlhf::Error);
    CHECK(checkpoint::read_file(path) == changed);
  }
  CHECK(loaded == test::Rollout());
}

TEST_CASE("stages that cannot be are refused") {
  test::TemporaryDirectory const directory;
  checkpoint::StageOutputs const outputs(directory.path());
  auto const save = [&](Stage const& one) { outputs.save(one, test::Rollout()); };
  CHECK_THROWS_AS(save({.model = "../policy"}), rlhf::Error);
  CHECK_THROWS_AS(save({.model = ""}), rlhf::Error);
  CHECK_THROWS_AS(save({.model = "a", .replica = 1}), rlhf::Error);
  CHECK_THROWS_AS(save({.model = "a", .episode = -1}), rlhf::Error);
  CHECK_THROWS_AS(checkpoint::StageOutputs(""), rlhf::Error);
}
