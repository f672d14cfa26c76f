// Tables of families: from files, and those that come along against the models of the benchmarks.
#include <rlhf/adapters/family_json.hpp>
#include <rlhf/adapters/model_json.hpp>
#include <rlhf/plan/families.hpp>

#include <algorithm>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace plan = rlhf::plan;

namespace {

std::string refusal(std::string const& content) {
  try {
    static_cast<void>(plan::read_family(content, "f.json"));
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return std::string(error.message());
  }
  return "nothing was thrown";
}
/// A table with one row, from its members.
std::string row(std::string const& members) {
  return "{\"family\": \"f\", \"tensors\": [{" + members + "}]}";
}

std::string const root = [] {
  std::string path(__FILE__);
  return path.substr(0, path.rfind("tests/"));
}();

/// A line for each parameter, sorted.
std::vector<std::string> lines_of(plan::ModelList const& model) {
  std::vector<std::string> out;
  for (plan::ModelParameter const& one : model.parameters) {
    out.push_back(rlhf::text(one.name, " ", to_string(one.shape), " ", to_string(one.dtype),
                             " cut ", one.tensor_dimension, " heads ", one.heads, " layer ",
                             one.layer, " expert ", one.expert, " tied ", one.tied_to));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("names, shapes and cuts of the families are those of the models they are for") {
  struct Known {
    char const* file;
    char const* family;
    plan::ModelSizes sizes;
  };
  Known const all[] = {
      {"llama-3.1-70b", "llama", {80, 8192, 64, 8, 128, 28672, 0, 0, 128256, false}},
      {"qwen2.5-0.5b", "qwen2", {24, 896, 14, 2, 64, 4864, 0, 0, 151936, true}},
      {"qwen3-8b", "qwen3", {36, 4096, 32, 8, 128, 12288, 0, 0, 151936, false}},
      {"qwen3-30b-a3b", "qwen3_moe", {48, 2048, 32, 4, 128, 0, 128, 768, 151936, false}},
      {"qwen3-235b-a22b", "qwen3_moe", {94, 4096, 64, 4, 128, 0, 128, 1536, 151936, false}}};
  for (Known const& known : all) {
    CAPTURE(known.file);
    plan::ModelList const model =
        plan::read_model_file(root + "benchmarks/models/" + known.file + ".json");
    plan::ModelList const made =
        plan::canonical_model(plan::family_named(known.family), known.sizes);
    CHECK(made.parameters.size() == model.parameters.size());
    CHECK((lines_of(made) == lines_of(model)));
    CHECK(made.layers == model.layers);
    CHECK(made.experts == model.experts);
  }
  CHECK_THROWS_AS(plan::family_named("gpt5"), rlhf::Error);
}

TEST_CASE("a table from a file") {
  plan::Family const family = plan::read_family(
      R"({"family": "mine", "trainer_vocab_multiple": 16, "comment": "x", "tensors": [
        {"trainer": "emb", "server": "e", "canonical": [["embed", "vocab"]], "columns": "hidden",
         "cut": "vocabulary", "place": "first"},
        {"trainer": "{l}.qkv", "server": "l.{l}.qkv", "cut": "heads",
         "canonical": [["{l}.q", "heads*head_dim"], ["{l}.k", "kv_heads*head_dim"],
                       ["{l}.v", "kv_heads*head_dim"]], "columns": "hidden"},
        {"trainer": "{l}.{e}.up", "server": "{l}.up", "canonical": [["{l}.{e}.up", "2*expert_ffn"]],
         "columns": "hidden", "cut": "rows", "experts": true},
        {"trainer": "head", "server": "h", "canonical": [["head", "vocab"]], "columns": "hidden",
         "cut": "vocabulary", "place": "last", "untied_only": true}]})",
      "mine.json");
  CHECK(family.name == "mine");
  CHECK(family.trainer_vocab_multiple == 16);
  CHECK(family.server_vocab_multiple == 64);
  plan::ModelSizes sizes{2, 8, 4, 2, 3, 0, 3, 5, 11, true};
  plan::ModelList const model = plan::canonical_model(family, sizes, rlhf::DType::f32);
  REQUIRE(model.parameters.size() == 1 + 6 + 6 + 1);
  CHECK(model.parameters[1].name == "0.q");
  CHECK(model.parameters[1].shape == rlhf::Shape{12, 8});
  CHECK(model.parameters[1].heads == 4);
  CHECK(model.parameters[2].heads == 2);
  CHECK(model.parameters[12].name == "1.2.up");
  CHECK(model.parameters[12].shape == rlhf::Shape{10, 8});
  CHECK(model.parameters[13].tied_to == "embed");
  sizes.kv_heads = 0;
  CHECK_THROWS_WITH_AS(plan::canonical_model(family, sizes),
                       doctest::Contains("extent kv_heads*head_dim: kv_heads is 0"), rlhf::Error);
}

TEST_CASE("tables that cannot be right are refused with file, row and reason") {
  CHECK(refusal("[]") == "family file f.json is not a JSON object");
  CHECK(refusal("{") == "family file f.json is not JSON: it ends in the middle, at line 1");
  CHECK(refusal(R"({"tensors": []})") == "family file f.json needs a text \"family\"");
  CHECK(refusal(R"({"family": "f", "tensor": []})") ==
        R"(family file f.json has an unknown key "tensor"; the nearest known one is "tensors")");
  std::string const names = R"("trainer": "{l}.a", "server": "{l}.b", )";
  std::string const piece = R"("canonical": [["{l}.c", "hidden"]])";
  CHECK(refusal(row(names + piece)) == "nothing was thrown");
  CHECK(
      refusal(row(names + piece + R"(, "cut": "row")")) ==
      R"(family file f.json, row 0: "cut" is row; use one of whole, rows, columns, heads, vocabulary)");
  CHECK(refusal(row(names + R"("canonical": [["x"]])")) ==
        R"(family file f.json, row 0: "canonical" must be a list of [name, rows], two texts)");
  CHECK(refusal(row(names + piece + R"(, "experts": 1)")) ==
        R"(family file f.json, row 0: "experts" must be true or false)");
  auto const wrong = [](std::string const& what) {
    return "family file f.json is wrong: family f, row 0 ({l}.a): " + what;
  };
  CHECK(refusal(row(names + piece + R"(, "cut": "heads")")) ==
        wrong("is cut by heads, but does not hold three tensors: query, key, value"));
  CHECK(
      refusal(row(names + R"("canonical": [["{l}.c", "hiden"]])")) ==
      wrong(
          "extent hiden: hiden is no size of a model; use hidden, heads, kv_heads, head_dim, ffn, "
          "experts, expert_ffn, vocab, layers or a number, joined by *"));
  CHECK(refusal(row(names + R"("canonical": [["c", "hidden"]])")) ==
        wrong("canonical name c has {l} or {e} where it should not, or lacks it"));
  CHECK(refusal(row(names + piece + R"(, "cut": "columns")")) ==
        wrong("is cut by columns, but has one dimension"));
  CHECK(refusal(row(names + piece + R"(, "place": "last")")) ==
        wrong("is in no layer, but a name has {l}"));
  CHECK(refusal(row(names + piece + R"(, "experts": true)")) ==
        wrong("is of experts: the trainer's name needs {e}, the server's stacks them"));
}
