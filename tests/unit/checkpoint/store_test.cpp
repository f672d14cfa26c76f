#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/data/text_record.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <unit/checkpoint/temporary_directory.hpp>

namespace checkpoint = rlhf::checkpoint;
namespace fs = std::filesystem;
using Steps = std::vector<std::int64_t>;

namespace {

void put(std::string const& path, std::string const& content) {
  checkpoint::write_atomically(path, checkpoint::as_bytes(content));
}
checkpoint::Pruned save(checkpoint::Store const& store, std::int64_t step,
                        std::string const& content) {
  store.begin(step);
  store.write(step, "model", checkpoint::as_bytes(content));
  store.write(step, "state", checkpoint::as_bytes("state of " + content));
  return store.commit(step);
}
std::string load(checkpoint::Store const& store, std::int64_t step, std::string const& name) {
  return std::string(checkpoint::as_text(store.read(step, name)));
}
/// Rewrites a manifest as one of the next version, under a right checksum.
std::string as_of_newer_program(std::string const& path) {
  std::string text(checkpoint::as_text(checkpoint::read_file(path)));
  text.replace(text.find(" 1\n"), 3, " 2\n");
  text.resize(text.rfind("checksum = "));
  std::uint64_t const sum = rlhf::Fingerprint().add(std::string_view(text)).value();
  text += "checksum = " + rlhf::data::hex_text(sum) + "\n";
  put(path, text);
  return text;
}
std::vector<std::string> names_in(std::string const& path) {
  std::vector<std::string> names;
  for (fs::directory_entry const& entry : fs::directory_iterator(path)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("a checkpoint is there after its commit, and not before") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory / "a/b/root", 0);
  CHECK_FALSE(store.latest());
  store.begin(12);
  store.write(12, "model", checkpoint::as_bytes("weights"));
  CHECK_FALSE(store.latest());
  CHECK_THROWS_WITH_AS(store.read(12, "model"), doctest::Contains("no complete checkpoint of step"),
                       rlhf::Error);
  store.commit(12);
  CHECK(store.latest() == 12);
  CHECK(load(store, 12, "model") == "weights");
  CHECK(names_in(store.root()) == std::vector<std::string>{"step-000000012"});
  CHECK(names_in(store.directory(12)) == std::vector<std::string>{"MANIFEST", "model"});
  CHECK_THROWS_WITH_AS(store.read(12, "optimizer"),
                       doctest::Contains("has no file optimizer; it has model"), rlhf::Error);
}

TEST_CASE("ranks write at once, each its own files") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 0);
  store.begin(1);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 8; ++rank) {
    ranks.emplace_back([&store, rank] {
      std::string const name = "rank-" + std::to_string(rank);
      store.write(1, name, checkpoint::as_bytes(std::string(10'000, static_cast<char>(rank))));
    });
  }
  for (std::thread& rank : ranks) {
    rank.join();
  }
  store.commit(1);
  CHECK(store.manifest(1).files.size() == 8);
  CHECK(store.manifest(1).files[3].name == "rank-3");
  CHECK(load(store, 1, "rank-7") == std::string(10'000, 7));
}

TEST_CASE("the newest are kept, and nothing else is touched") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 2);
  put(directory / "notes.txt", "mine");
  fs::create_directory(directory / "step-1");              // not how a step is written
  fs::create_directory(directory / "step-000000001.bak");  // nor this
  fs::create_directory(directory / "step-000000002");      // no manifest
  for (std::int64_t step = 3; step < 8; ++step) {
    checkpoint::Pruned const pruned = save(store, step, std::to_string(step));
    CHECK(pruned.problem == "");
    CHECK(pruned.steps == (step < 5 ? Steps{} : Steps{step - 2}));
  }
  CHECK(store.steps() == Steps{6, 7});
  CHECK(names_in(directory.path()) == std::vector<std::string>{"notes.txt", "step-000000001.bak",
                                                               "step-000000002", "step-000000006",
                                                               "step-000000007", "step-1"});
}

TEST_CASE("after going back, the latest is what was committed last; newer ones are set aside") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 2);
  save(store, 90, "old run");
  save(store, 100, "old run");
  checkpoint::Pruned const first = save(store, 51, "new run");
  CHECK(first.abandoned == Steps{90, 100});
  CHECK(first.steps.empty());
  CHECK(store.latest() == 51);
  save(store, 52, "new run");
  CHECK(save(store, 53, "new run").steps == Steps{51});
  CHECK(store.latest() == 53);
  CHECK(store.steps() == Steps{52, 53});
  CHECK(names_in(directory.path()) == std::vector<std::string>{"step-000000052", "step-000000053",
                                                               "step-000000090.abandoned",
                                                               "step-000000100.abandoned"});
  // Nothing of them is lost: what was set aside can be given its name again.
  fs::rename(store.directory(100) + ".abandoned", store.directory(100));
  CHECK(store.latest() == 100);
  CHECK(load(store, 100, "model") == "old run");
  // Going back again, to a step that is there: it is replaced, the others make way.
  CHECK(save(store, 52, "third run").abandoned == Steps{53, 100});
  CHECK(store.steps() == Steps{52});
  CHECK(load(store, 52, "model") == "third run");
  save(store, 53, "third run");
  CHECK(save(store, 52, "fourth run").abandoned == Steps{53});
  fs::rename(store.directory(53) + ".abandoned", store.directory(53));
  CHECK(load(store, 53, "model") == "third run");
}

TEST_CASE("a run that goes back below a newer program's checkpoint sets it aside, whole") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 1);
  save(store, 7, "newer");
  std::string const manifest = as_of_newer_program(store.directory(7) + "/MANIFEST");
  CHECK(save(store, 3, "mine").abandoned == Steps{7});
  CHECK(store.latest() == 3);
  CHECK(checkpoint::as_text(checkpoint::read_file(store.directory(7) + ".abandoned/MANIFEST")) ==
        manifest);
}

TEST_CASE("a process that looks while another commits always finds one, and never an older one") {
  for (int const keep : {1, 2}) {
    test::TemporaryDirectory const directory("/dev/shm");
    checkpoint::Store const store(directory.path(), keep);
    save(store, 1, "x");
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      // Sometimes a step twice, of another size.
      for (std::int64_t step = 2; !stop.load(); ++step) {
        save(store, step, std::to_string(step));
        if (step % 4 == 0) {
          save(store, step, "again " + std::to_string(step));
        }
      }
    });
    int none = 0;
    int back = 0;
    int few = 0;
    std::int64_t last = 1;
    for (int i = 0; i < 3000; ++i) {
      std::int64_t const found = store.latest().value_or(-1);
      none += found < 0 ? 1 : 0;
      back += found >= 0 && found < last ? 1 : 0;
      last = found > last ? found : last;
      if (i % 10 == 0) {
        Steps const all = store.steps();
        few += all.empty() || all.back() < last ? 1 : 0;
      }
    }
    stop.store(true);
    writer.join();
    CHECK(none == 0);
    CHECK(back == 0);
    CHECK(few == 0);
    CHECK(last > 1);
  }
}

TEST_CASE("the same step again replaces the old one") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 3);
  save(store, 5, "first");
  store.begin(5);
  CHECK(load(store, 5, "model") == "first");
  store.write(5, "model", checkpoint::as_bytes("second"));
  store.commit(5);
  CHECK(load(store, 5, "model") == "second");
  CHECK(store.manifest(5).files.size() == 1);
  CHECK(names_in(directory.path()) == std::vector<std::string>{"step-000000005"});
}

TEST_CASE(
    "unfinished attempts are cleared: the same step when it begins, earlier ones at a commit") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 0);
  for (std::int64_t const step : {3, 4, 9}) {
    store.begin(step);
    store.write(step, "junk", checkpoint::as_bytes("junk"));
  }
  save(store, 4, "x");
  CHECK(store.manifest(4).find("junk") == nullptr);
  CHECK(names_in(directory.path()) ==
        std::vector<std::string>{"step-000000004", "step-000000009.partial"});
}

TEST_CASE("calls in the wrong order are errors that say so") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 0);
  CHECK_THROWS_WITH_AS(store.write(1, "a", {}), doctest::Contains("step 1 was not begun"),
                       rlhf::Error);
  CHECK_THROWS_WITH_AS(store.commit(1), doctest::Contains("step 1 was not begun"), rlhf::Error);
  store.begin(1);
  CHECK_THROWS_WITH_AS(store.write(1, "../a", {}),
                       doctest::Contains("'../a' cannot be the name of a checkpoint's file"),
                       rlhf::Error);
  store.write(1, "a", {});
  CHECK_THROWS_WITH_AS(store.write(1, "a", {}), doctest::Contains("already has a file a"),
                       rlhf::Error);
  CHECK_THROWS_AS(store.begin(-1), rlhf::Error);
  CHECK_THROWS_AS(checkpoint::Store(directory.path(), -1), rlhf::Error);
  CHECK_THROWS_AS(checkpoint::Store("", 1), rlhf::Error);
  put(directory / "file", "");
  CHECK_THROWS_WITH_AS(checkpoint::Store(directory / "file/below", 1),
                       doctest::Contains("Not a directory"), rlhf::Error);
  CHECK_THROWS_WITH_AS(checkpoint::Store(directory / "file", 1),
                       doctest::Contains("file: Not a directory"), rlhf::Error);
  fs::create_directory_symlink(directory / "elsewhere", directory / "link");
  CHECK_THROWS_AS(checkpoint::Store(directory / "link", 1), rlhf::Error);
  fs::create_directory(directory / "elsewhere");
  CHECK_NOTHROW(checkpoint::Store(directory / "link", 1));
}

TEST_CASE("a file that a rank did not finish stops the commit; the step before is still there") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 1);
  save(store, 1, "good");
  store.begin(2);
  store.write(2, "rank-0", checkpoint::as_bytes("whole"));
  put(directory / "step-000000002.partial/rank-1", "ha");  // its write never returned
  CHECK_THROWS_WITH_AS(store.commit(2), doctest::Contains("rank-1 was not written to its end"),
                       rlhf::Error);
  CHECK(store.latest() == 1);
  CHECK(load(store, 1, "model") == "good");
  fs::remove(directory / "step-000000002.partial/rank-1");
  store.commit(2);  // may be tried again
  CHECK(store.latest() == 2);
}

TEST_CASE("a set that lacks a rank's files is not committed") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 1);
  save(store, 1, "good");
  store.begin(2);
  store.write(2, "rank-0", checkpoint::as_bytes("whole"));  // rank 1 died before it wrote
  CHECK_THROWS_WITH_AS(store.commit(2, 2),
                       doctest::Contains("has 1 files, 2 were expected: rank-0; commit only after"),
                       rlhf::Error);
  CHECK(store.latest() == 1);
  store.write(2, "rank-1", checkpoint::as_bytes("whole"));
  CHECK_THROWS_AS(store.commit(2, 1), rlhf::Error);
  store.commit(2, 2);
  CHECK(store.latest() == 2);
}

TEST_CASE("a checkpoint of a newer program is an error, and is neither passed over nor replaced") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 1);
  save(checkpoint::Store(directory.path(), 0), 1, "old");
  save(checkpoint::Store(directory.path(), 0), 2, "newer");
  std::string const manifest = store.directory(2) + "/MANIFEST";
  std::string const newer = as_of_newer_program(manifest);
  char const* const words =
      "step-000000002/MANIFEST is a rlhf-checkpoint of version 2, this program reads versions up "
      "to 1; use the newer program that wrote it";
  CHECK_THROWS_WITH_AS(store.latest(), doctest::Contains(words), rlhf::Error);
  CHECK_THROWS_WITH_AS(store.read(2, "model"), doctest::Contains(words), rlhf::Error);
  CHECK(store.steps() == Steps{1});
  store.begin(2);
  store.write(2, "model", checkpoint::as_bytes("mine"));
  CHECK_THROWS_WITH_AS(store.commit(2), doctest::Contains(words), rlhf::Error);
  save(store, 3, "mine");
  CHECK(store.latest() == 3);
  CHECK(checkpoint::as_text(checkpoint::read_file(manifest)) == newer);
  CHECK(checkpoint::as_text(checkpoint::read_file(store.directory(2) + "/model")) == "newer");
}

TEST_CASE("files that were swapped are noticed") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 0);
  save(store, 1, "older");
  save(store, 2, "newer");
  fs::rename(store.directory(1) + "/model", directory / "aside");
  fs::rename(store.directory(2) + "/model", store.directory(1) + "/model");
  fs::rename(directory / "aside", store.directory(2) + "/model");
  CHECK_THROWS_WITH_AS(store.read(1, "model"), doctest::Contains("model was damaged"), rlhf::Error);
  CHECK_THROWS_WITH_AS(store.read(2, "model"), doctest::Contains("model was damaged"), rlhf::Error);
  CHECK(load(store, 2, "state") == "state of newer");
}

TEST_CASE("damage to any file is noticed, and named") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 0);
  save(store, 1, "older");
  save(store, 2, "newer");
  std::string const model = store.directory(2) + "/model";
  put(model, "newes");  // same size
  CHECK(store.latest() == 2);
  CHECK_THROWS_WITH_AS(store.read(2, "model"), doctest::Contains((model + " was damaged").c_str()),
                       rlhf::Error);
  CHECK(load(store, 2, "state") == "state of newer");
  put(model, "new");
  CHECK_THROWS_WITH_AS(store.read(2, "model"), doctest::Contains("has 3 bytes, 5 were written"),
                       rlhf::Error);
  CHECK(store.latest() == 1);
  fs::remove(model);
  CHECK_THROWS_WITH_AS(store.read(2, "model"), doctest::Contains("model is missing"), rlhf::Error);
  CHECK(store.latest() == 1);
}

TEST_CASE("a step whose manifest was cut or changed anywhere is not complete") {
  test::TemporaryDirectory const directory("/dev/shm");
  checkpoint::Store const store(directory.path(), 0);
  save(store, 1, "older");
  save(store, 2, "newer");
  std::string const path = store.directory(2) + "/MANIFEST";
  std::string const whole(checkpoint::as_text(checkpoint::read_file(path)));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    put(path, whole.substr(0, i));
    CHECK(store.latest() == 1);
    for (int bit = 0; bit < 8; ++bit) {  // of the version, too: damage is no newer program
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      put(path, changed);
      CHECK(store.latest() == 1);
    }
    try {
      static_cast<void>(store.read(2, "model"));
      FAIL("it was read");
    } catch (rlhf::Error const& error) {
      CHECK(std::string_view(error.what()).find("MANIFEST") != std::string_view::npos);
    }
  }
  put(path, whole);
  CHECK(store.latest() == 2);
  fs::remove(path);
  CHECK(store.latest() == 1);
}

TEST_CASE("a manifest of another step is not believed") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 0);
  save(store, 1, "x");
  fs::rename(store.directory(1), store.directory(7));
  CHECK_FALSE(store.latest());
  CHECK_THROWS_WITH_AS(store.manifest(7), doctest::Contains("is the manifest of step 1, not of 7"),
                       rlhf::Error);
}

TEST_CASE("steps beyond nine digits are steps") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 0);
  save(store, 0, "z");
  save(store, 999'999'999, "x");
  save(store, INT64_MAX, "y");
  CHECK(store.steps() == Steps{0, 999'999'999, INT64_MAX});
}

TEST_CASE("what cannot be deleted does not undo a commit") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory.path(), 1);
  save(store, 1, "old");
  // The name that deleting needs is taken by something that cannot be removed from under a mount or
  // a permission; a directory without permissions stands in, except for root, who may do anything.
  if (::geteuid() != 0) {
    fs::create_directory(directory / "step-000000001.partial");
    put(directory / "step-000000001.partial/file", "");
    fs::permissions(directory / "step-000000001.partial", fs::perms::none);
    checkpoint::Pruned const pruned = save(store, 2, "new");
    CHECK(pruned.problem.find("step-000000001.partial") != std::string::npos);
    fs::permissions(directory / "step-000000001.partial", fs::perms::all);
    CHECK(store.latest() == 2);
  }
}

TEST_CASE("files in directories belong to a checkpoint as others do") {
  test::TemporaryDirectory const directory;
  checkpoint::Store const store(directory / "root", 2);
  for (std::int64_t const step : {1, 2, 3}) {
    store.begin(step);
    store.write(step, "plain", checkpoint::as_bytes("p"));
    store.write(step, "actor/weights.rank-0", checkpoint::as_bytes("actor's"));
    store.write(step, "actor/weights.rank-1", checkpoint::as_bytes("of rank 1"));
    store.write(step, "critic/weights.rank-0", checkpoint::as_bytes("critic's"));
    CHECK_THROWS_WITH_AS(store.write(step, "actor/weights.rank-1", checkpoint::as_bytes("again")),
                         doctest::Contains("already has a file actor/weights.rank-1"), rlhf::Error);
    CHECK(store.commit(step, 4).problem.empty());
  }
  CHECK(store.steps() == Steps{2, 3});
  CHECK(load(store, 3, "actor/weights.rank-1") == "of rank 1");
  CHECK(load(store, 3, "critic/weights.rank-0") == "critic's");
  CHECK(store.manifest(3).files.size() == 4);
  CHECK(names_in(store.directory(3) + "/actor") ==
        std::vector<std::string>{"weights.rank-0", "weights.rank-1"});
  for (char const* const wrong : {"a/b/c", "/a", "a/", "../a", "a/.b", ".a/b", "a/MANIFEST"}) {
    CHECK_THROWS_WITH_AS(store.write(4, wrong, checkpoint::as_bytes("x")),
                         doctest::Contains("cannot be the name of a checkpoint's file"),
                         rlhf::Error);
  }
  CHECK_THROWS_WITH_AS(store.write(4, "actor/x", checkpoint::as_bytes("x")),
                       doctest::Contains("step 4 was not begun"), rlhf::Error);
  // A rank that was killed while it wrote left a file without an entry.
  store.begin(4);
  store.write(4, "actor/weights.rank-0", checkpoint::as_bytes("whole"));
  put(store.root() + "/step-000000004.partial/actor/weights.rank-1", "half");
  CHECK_THROWS_WITH_AS(store.commit(4), doctest::Contains("actor/weights.rank-1 was not written"),
                       rlhf::Error);
  // One file of a directory is lost: the step is passed over.
  CHECK(store.latest() == 3);
  fs::remove(store.directory(3) + "/actor/weights.rank-0");
  CHECK(store.latest() == 2);
}
