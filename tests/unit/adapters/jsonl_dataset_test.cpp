#include <rlhf/adapters/jsonl_dataset.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/loader.hpp>
#include <rlhf/data/sampler.hpp>

#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <unit/checkpoint/temporary_directory.hpp>

namespace adapters = rlhf::adapters;
namespace data = rlhf::data;
using adapters::BadLines;
using adapters::JsonlDataset;
using adapters::JsonlOptions;
using adapters::JsonlRow;

static_assert(data::Dataset<JsonlDataset<>>);
static_assert(data::HasFingerprint<JsonlDataset<>>);

namespace {

/// A file for one test.
class Content {
 public:
  explicit Content(std::string const& content) : directory_("/dev/shm") {
    rlhf::checkpoint::write_atomically(path(), rlhf::checkpoint::as_bytes(content));
  }
  [[nodiscard]] std::string path() const { return directory_ / "rows.jsonl"; }

 private:
  test::TemporaryDirectory directory_;
};

template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    std::string const message(error.message());
    return message.substr(message.find("rows.jsonl"));
  }
  return "no error";
}

std::string const good = "{\"prompt\": \"a\"}\n";

}  // namespace

TEST_CASE("rows of a mapped file, decoded when asked for") {
  Content const file(
      "\xef\xbb\xbf{\"prompt\": \"\\u00fc\"}\r\n\n  {\"prompt\": \"b\", \"n\": 3}\n" +
      std::string("{\"prompt\": \"") + std::string(3'000'000, 'x') + "\"}");
  JsonlDataset const rows(file.path());
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].string("prompt") == "\xc3\xbc");
  CHECK(rows[1].at("n").get<int>() == 3);
  CHECK(rows[1].line() == 3);
  CHECK(rows[2].string("prompt").size() == 3'000'000);
  CHECK(rows.line_number(2) == 4);
  CHECK(rows.line(1) == "  {\"prompt\": \"b\", \"n\": 3}");
  CHECK_THROWS_WITH_AS(rows[3], doctest::Contains("item 3 of"), rlhf::Error);
  CHECK_THROWS_AS(rows[-1], rlhf::Error);

  JsonlDataset lengths(file.path(), {}, [](JsonlRow const& row) {
    return static_cast<std::int64_t>(row.string("prompt").size());
  });
  CHECK(lengths[2] == 3'000'000);
  JsonlDataset const moved(std::move(lengths));
  CHECK(moved[0] == 2);
}

TEST_CASE("rows stay good when their dataset is moved") {
  Content const file(good + good);
  std::vector<JsonlDataset<>> sets;
  sets.emplace_back(file.path());
  JsonlRow const row = sets[0][1];
  for (int i = 0; i < 8; ++i) {
    sets.emplace_back(file.path());  // moves the first one, again and again
  }
  CHECK(error_of([&] { static_cast<void>(row.at("none")); }) ==
        "rows.jsonl, line 2: the key \"none\" is missing");
  // A short path lies in the string itself, which is what moves.
  std::string const here = std::filesystem::current_path().string();
  std::filesystem::current_path(std::filesystem::path(file.path()).parent_path());
  std::vector<JsonlDataset<>> near;
  near.emplace_back("rows.jsonl");
  JsonlRow const short_path = near[0][0];
  for (int i = 0; i < 8; ++i) {
    near.emplace_back("rows.jsonl");
  }
  CHECK(error_of([&] { static_cast<void>(short_path.at("none")); }) ==
        "rows.jsonl, line 1: the key \"none\" is missing");
  std::filesystem::current_path(here);
}

TEST_CASE("lines are blank by the same rule for both readers") {
  Content const file("{}\r\r\n\r\r\n \t\r\n\r\n\n{\"a\": 1}\r\n\r\r\r");
  JsonlDataset const mapped(file.path());
  std::vector<std::pair<std::int64_t, nlohmann::json>> of_mapped;
  for (std::int64_t i = 0; i < mapped.size(); ++i) {
    of_mapped.emplace_back(mapped[i].line(), mapped[i].value());
  }
  std::vector<std::pair<std::int64_t, nlohmann::json>> of_read;
  adapters::read_jsonl(file.path(),
                       [&](JsonlRow const& row) { of_read.emplace_back(row.line(), row.value()); });
  CHECK(of_mapped == of_read);
  CHECK(of_read.size() == 2);
}

TEST_CASE("a bad line is an error when it is met, with file, line and reason") {
  Content const file(good + "\n{\"prompt\": \"\xff\"}\n[1]\n{\"prompt\"\n" + good);
  JsonlDataset const rows(file.path());
  CHECK(rows.size() == 5);
  CHECK(rows[4].line() == 6);
  CHECK(
      error_of([&] { static_cast<void>(rows[1]); })
          .find("rows.jsonl, line 3: parse error at column 13: syntax error while parsing value - "
                "invalid string: ill-formed UTF-8") == 0);
  CHECK(error_of([&] { static_cast<void>(rows[2]); }) ==
        "rows.jsonl, line 4: expected an object like {\"prompt\": ...}, found array");
  CHECK(error_of([&] { static_cast<void>(rows[3]); }).find("rows.jsonl, line 5: parse error") == 0);
  JsonlDataset const decoded(file.path(), {},
                             [](JsonlRow const& row) { return row.value().at("b").get<int>(); });
  CHECK(error_of([&] { static_cast<void>(decoded[4]); }) ==
        "rows.jsonl, line 6: key 'b' not found");
}

TEST_CASE("validation names the first bad line, whatever the threads; skipping counts them") {
  std::string content;
  std::vector<std::int64_t> bad;
  std::set<std::string> kept;
  for (std::int64_t line = 1; line <= 400; ++line) {
    if (line % 57 == 0) {
      content += line % 2 == 0 ? "{\"n\": \"\x80\"}\n" : "17\n";
      bad.push_back(line);
    } else if (line % 13 == 0) {
      content += " \n";
    } else {
      content += "{\"n\": " + std::to_string(line) + "}\n";
    }
  }
  Content const file(content);
  for (int const threads : {1, 2, 5}) {
    std::string const message = error_of([&] {
      JsonlDataset const rows(file.path(), JsonlOptions{.validate = true, .threads = threads});
    });
    CHECK(message ==
          "rows.jsonl, line 57: expected an object like {\"prompt\": ...}, found number");
    JsonlDataset const rows(file.path(),
                            JsonlOptions{.bad_lines = BadLines::skip, .threads = threads});
    CHECK(rows.skipped() == static_cast<std::int64_t>(bad.size()));
    REQUIRE(rows.bad_lines().size() == bad.size());
    for (std::size_t i = 0; i < bad.size(); ++i) {
      CHECK(rows.bad_lines()[i].line == bad[i]);
    }
    CHECK(rows.bad_lines()[1].reason.find("ill-formed UTF-8") != std::string::npos);
    CHECK(rows.size() == 400 - 30 - static_cast<std::int64_t>(bad.size()));
    for (std::int64_t i = 0; i < rows.size(); ++i) {
      CHECK(rows[i].at("n").get<std::int64_t>() == rows[i].line());
    }
  }
}

TEST_CASE("a file without rows is an error, as is one with bad ones only") {
  CHECK(error_of([] { JsonlDataset const rows(Content("\n\n").path()); }) ==
        "rows.jsonl has no rows; every line must hold one JSON object");
  CHECK(error_of([] { JsonlDataset const rows(Content("").path()); }) ==
        "rows.jsonl has no rows; every line must hold one JSON object");
  CHECK(error_of([] {
          JsonlDataset const rows(Content("\n3\n").path(),
                                  JsonlOptions{.bad_lines = BadLines::skip});
        }) ==
        "rows.jsonl has no good rows; every line must hold one JSON object, and line 2 does not: "
        "expected an object like {\"prompt\": ...}, found number");
  CHECK_THROWS_WITH_AS(JsonlDataset("/nowhere/rows.jsonl"),
                       doctest::Contains("cannot open /nowhere/rows.jsonl: No such file"),
                       rlhf::Error);
}

TEST_CASE("the fingerprint is of the content, not of the name") {
  auto const print = [](std::string const& content) {
    return JsonlDataset(Content(content).path()).fingerprint();
  };
  std::uint64_t const first = print(good + good);
  CHECK(first == print(good + good));
  CHECK(first != print(good));
  CHECK(first != print(good + "\n" + good));
  CHECK(first != print(good + "{\"prompt\": \"b\"}\n"));
}

TEST_CASE("a loader over files: batches in order, errors with file and line") {
  std::string content;
  for (int i = 0; i < 100; ++i) {
    content += i == 60 ? "{\"n\" 60}\n" : "{\"n\": " + std::to_string(i) + "}\n";
  }
  Content const file(content);
  auto const number = [](JsonlRow const& row) { return row.at("n").get<std::int64_t>(); };
  std::vector<JsonlDataset<decltype(number)>> sets;
  sets.emplace_back(file.path(), JsonlOptions{}, number);
  data::Sampler<> sampler(
      data::SamplerOptions{.dataset_sizes = data::sizes_of(sets),
                           .samples_per_episode = 100,
                           .shuffle = false,
                           .dataset_fingerprints = data::fingerprints_of(sets)});
  struct Items {
    std::vector<std::int64_t> operator()(std::span<data::Sample<std::int64_t>> samples) const {
      std::vector<std::int64_t> out;
      for (auto const& sample : samples) {
        out.push_back(sample.item());
      }
      return out;
    }
  };
  data::Loader loader(data::EpisodeDraws(sampler, 0, 1), data::DatasetItems(sets), Items{},
                      {.batch_size = 25});
  std::vector<std::int64_t> batch;
  for (std::int64_t b = 0; b < 4; ++b) {
    try {
      bool const more = loader.next(batch);
      REQUIRE(more);
      CHECK(batch.front() == 25 * b);
      CHECK(batch.back() == 25 * b + 24);
      CHECK(b != 2);
    } catch (rlhf::Error const& error) {
      CHECK(b == 2);
      CHECK(error.message().find("batch 2 of episode 0, sample 10 of it (id 60): item 60 of "
                                 "dataset 0: ") == 0);
      CHECK(error.message().find("rows.jsonl, line 61: parse error") != std::string::npos);
    }
  }
}
