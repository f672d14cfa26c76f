#include <rlhf/checkpoint/manifest.hpp>
#include <rlhf/core/error.hpp>

#include <string>
#include <string_view>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace checkpoint = rlhf::checkpoint;

namespace {
checkpoint::Manifest manifest() {
  return {12, {{"model.bin", 4096, 0x0123456789abcdefULL}, {"rank-3", 0, 1}}};
}
}  // namespace

TEST_CASE("a manifest is readable text and reads back") {
  std::string const text = checkpoint::to_text(manifest());
  CHECK(
      text.starts_with("rlhf-checkpoint 1\nstep = 12\nfile = model.bin 4096 0123456789abcdef\n"
                       "file = rank-3 0 0000000000000001\nchecksum = "));
  CHECK(checkpoint::parse_manifest(text, "here") == manifest());
  CHECK(checkpoint::parse_manifest(checkpoint::to_text(checkpoint::Manifest{}), "here") ==
        checkpoint::Manifest{});
  CHECK(manifest().find("rank-3")->checksum == 1);
  CHECK(manifest().find("rank-4") == nullptr);
}

TEST_CASE("a manifest that was cut or changed anywhere is refused") {
  std::string const text = checkpoint::to_text(manifest());
  for (std::size_t i = 0; i < text.size(); ++i) {
    CHECK_THROWS_AS(checkpoint::parse_manifest(text.substr(0, i), "here"), rlhf::Error);
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    CHECK_THROWS_AS(checkpoint::parse_manifest(changed, "here"), rlhf::Error);
  }
}

TEST_CASE("lines of a manifest are read strictly") {
  checkpoint::ManifestEntry entry;
  CHECK(checkpoint::parse_manifest_entry("a 1 00000000000000ff", entry));
  CHECK(entry == checkpoint::ManifestEntry{"a", 1, 255});
  for (char const* const wrong :
       {"", "a", "a 1", "a 1 ff", "a -1 00000000000000ff", "a 1 00000000000000fg",
        "../a 1 00000000000000ff", "a 9223372036854775808 00000000000000ff",
        "a 1  00000000000000ff", "MANIFEST 1 00000000000000ff"}) {
    CHECK_FALSE_MESSAGE(checkpoint::parse_manifest_entry(wrong, entry), wrong);
  }
}

TEST_CASE("names of files cannot leave the directory") {
  for (char const* const good : {"a", "rank-3", "model_0.bin", "A.B-c_9"}) {
    CHECK_MESSAGE(checkpoint::is_file_name(good), good);
  }
  for (char const* const wrong :
       {"", ".", "..", ".hidden", "a/b", "/a", "a b", "a\n", "MANIFEST"}) {
    CHECK_FALSE_MESSAGE(checkpoint::is_file_name(wrong), wrong);
  }
  CHECK_FALSE(checkpoint::is_file_name(std::string(201, 'a')));
  CHECK_FALSE(checkpoint::is_file_name(std::string_view("a\0b", 3)));
}
