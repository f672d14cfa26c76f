#include <rlhf/adapters/jsonl.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/rng.hpp>

#include <cstdint>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <unit/checkpoint/temporary_directory.hpp>

namespace adapters = rlhf::adapters;
using adapters::PromptAnswer;

namespace {

std::vector<PromptAnswer> parsed(std::string const& content) {
  test::TemporaryDirectory const directory("/dev/shm");
  rlhf::checkpoint::write_atomically(directory / "rows.jsonl", rlhf::checkpoint::as_bytes(content));
  return adapters::read_prompt_answers(directory / "rows.jsonl");
}
std::string refusal(std::string const& content) {
  try {
    static_cast<void>(parsed(content));
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return error.what();
  }
  return "";
}

}  // namespace

#define CHECK_HAS(message, words) CHECK_MESSAGE((message).find(words) != std::string::npos, message)

TEST_CASE("rows of prompts and answers; the answer may be a number") {
  CHECK(parsed("{\"prompt\": \"1+1\", \"answer\": \"2\"}\n"
               "\n"
               "  \t\r\n"
               "{\"prompt\": \"2*21\", \"answer\": 42, \"level\": 3}\r\n"
               "{\"prompt\": \"1/8\", \"answer\": 0.125}\n"
               "{\"answer\": -7, \"prompt\": \"\\u00fc \xc3\xbc\"}") ==
        std::vector<PromptAnswer>{
            {"1+1", "2"}, {"2*21", "42"}, {"1/8", "0.125"}, {"\xc3\xbc \xc3\xbc", "-7"}});
}

TEST_CASE("a bad line is named with its file, number and reason") {
  std::string const good = "{\"prompt\": \"a\", \"answer\": \"b\"}\n";
  CHECK_HAS(refusal(good + "\n{\"prompt\": \"a\""), "rows.jsonl, line 3: parse error");
  CHECK_HAS(refusal(good + "{\"prompt\": \"a\"} x"), "line 2: parse error");
  CHECK_HAS(refusal(good + "[1, 2]"),
            "line 2: expected an object like {\"prompt\": ...}, found array");
  CHECK_HAS(refusal(good + "17"),
            "line 2: expected an object like {\"prompt\": ...}, found number");
  CHECK_HAS(refusal(good + "{\"prompt\": \"a\"}"), "line 2: the key \"answer\" is missing");
  CHECK_HAS(refusal("{\"answer\": \"a\"}"), "line 1: the key \"prompt\" is missing");
  CHECK_HAS(refusal("{\"prompt\": 1, \"answer\": 1}"),
            "line 1: \"prompt\" must be a string, it is number");
  CHECK_HAS(refusal("{\"prompt\": \"a\", \"answer\": null}"),
            "\"answer\" must be a string or a number, it is null");
  CHECK_HAS(refusal("{\"prompt\": \"a\", \"answer\": true}"), "it is boolean");
  CHECK_HAS(refusal("{\"prompt\": \"\xff\", \"answer\": 1}"),
            "line 1: parse error at column 13: syntax error while parsing value - invalid "
            "string: ill-formed UTF-8");
  CHECK_HAS(refusal("{\"prompt\": \"a\", \"answer\": 1e999}"), "line 1: number overflow");
  CHECK_HAS(refusal(std::string("{\"prompt\": \"a\0\"}", 16)), "line 1: parse error");
}

TEST_CASE("a file without rows, or that is not there, is an error") {
  CHECK_HAS(refusal(""), "rows.jsonl has no rows");
  CHECK_HAS(refusal("\n \n"), "rows.jsonl has no rows");
  CHECK_THROWS_WITH_AS(adapters::read_prompt_answers("/nowhere/rows.jsonl"),
                       doctest::Contains("cannot open /nowhere/rows.jsonl: No such file"),
                       rlhf::Error);
}

TEST_CASE("rows come as JSON, too, and what a callback throws passes through") {
  test::TemporaryDirectory const directory;
  std::string const path = directory / "rows.jsonl";
  rlhf::checkpoint::write_atomically(path, rlhf::checkpoint::as_bytes("{\"a\": 1}\n{\"a\": 2}\n"));
  std::vector<nlohmann::json> const rows = adapters::read_jsonl(path);
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].at("a").get<int>() == 2);
  std::vector<std::int64_t> lines;
  adapters::read_jsonl(path, [&](adapters::JsonlRow const& row) { lines.push_back(row.line()); });
  CHECK(lines == std::vector<std::int64_t>{1, 2});
  CHECK_THROWS_AS(adapters::read_jsonl(path, [](adapters::JsonlRow const&) { throw 7; }), int);
  CHECK_THROWS_WITH_AS(
      adapters::read_jsonl(path,
                           [](adapters::JsonlRow const& row) { row.value().at("b").get<int>(); }),
      doctest::Contains("line 1: key 'b' not found"), rlhf::Error);
}

TEST_CASE("any bytes are read or refused") {
  std::string const good = "{\"prompt\": \"a\\u00e4\\n\", \"answer\": [1, {\"x\": -2.5e3}]}\n";
  int refused = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    rlhf::CounterRandom const random(seed, 5);
    std::string content = good + good;
    for (std::uint32_t i = 0; i < 1 + random.below(0, 5); ++i) {
      content[random.below(2 * i + 1, static_cast<std::uint32_t>(content.size()))] =
          static_cast<char>(random.bits(2 * i + 2));
    }
    refused += refusal(content) != "" ? 1 : 0;
  }
  CHECK(refused == 3000);  // an array is no answer, so none of them can be right
  CHECK(refusal(std::string(100'000, '[')) != "");
  CHECK(refusal("{\"prompt\":" + std::string(100'000, '[')) != "");
  CHECK(refusal("{\"prompt\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}") !=
        "");
}
