#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/data/text_record.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace data = rlhf::data;

namespace {

std::string record() {
  return data::TextRecordWriter("rlhf-test", 2).field("name", "a b").field("count", 7).finish();
}
/// The text with the checksum that it should have.
std::string sealed(std::string const& content) {
  return content + "checksum = " +
         data::hex_text(rlhf::Fingerprint().add(std::string_view(content)).value()) + "\n";
}
std::string refusal(std::string_view text) {
  try {
    data::TextRecordReader reader(text, "rlhf-test", 2, "some/path");
    static_cast<void>(reader.next("name"));
    static_cast<void>(reader.next_count("count"));
    reader.finish();
  } catch (rlhf::Error const& error) {
    return error.what();
  }
  return "";
}

}  // namespace

#define CHECK_HAS(message, words) CHECK_MESSAGE((message).find(words) != std::string::npos, message)

TEST_CASE("a record reads back") {
  std::string const text = record();
  CHECK(text.starts_with("rlhf-test 2\nname = a b\ncount = 7\nchecksum = "));
  data::TextRecordReader reader(text, "rlhf-test", 3, "some/path");
  CHECK(reader.version() == 2);
  CHECK(reader.at("name"));
  CHECK(reader.next("name") == "a b");
  CHECK(reader.next_count("count") == 7);
  CHECK_FALSE(reader.at("count"));
  reader.finish();
}

TEST_CASE("every kind of damage has a message that names the file") {
  CHECK_HAS(refusal(""), "some/path, line 1: the file is empty");
  CHECK_HAS(refusal("rlhf-test 2"), "line 1: the file is truncated");
  CHECK_HAS(refusal("other 2\n"), "this is no rlhf-test");
  CHECK_HAS(refusal("rlhf-test\n"), "this is no rlhf-test");
  CHECK_HAS(refusal("rlhf-test x\n"), "no version number");
  CHECK_HAS(refusal(sealed("rlhf-test 3\n")), "of version 3, this program reads versions up to 2");
  CHECK_HAS(refusal("rlhf-test 3\n"), "its last line is not a checksum");
  CHECK_HAS(refusal("rlhf-test 2\n"), "its last line is not a checksum");
  std::string damaged = record();
  damaged[14] ^= 1;
  CHECK_HAS(refusal(damaged), "its checksum does not fit");
  damaged = record();
  damaged[10] ^= 4;  // version 2 becomes 6: damage, not a newer program
  CHECK_HAS(refusal(damaged), "its checksum does not fit");
  CHECK_HAS(refusal(sealed("rlhf-test 2\n")), "line 1: the key 'name' is missing");
  CHECK_HAS(refusal(sealed("rlhf-test 2\nname = a\n")), "the key 'count' is missing");
  CHECK_HAS(refusal(sealed("rlhf-test 2\ncount = 7\n")), "line 2: expected the key 'name'");
  CHECK_HAS(refusal(sealed("rlhf-test 2\nname = a\ncount = -7\n")), "'count' is not a number");
  CHECK_HAS(refusal(sealed("rlhf-test 2\nname = a\ncount = 9223372036854775808\n")), "below 2^63");
  CHECK_HAS(refusal(sealed("rlhf-test 2\nname = a\ncount = 18446744073709551616\n")), "a number");
  CHECK_HAS(refusal(sealed("rlhf-test 2\nname = a\ncount = 7\nmore = 1\n")), "unknown key 'more'");
  CHECK_HAS(refusal(sealed("rlhf-test 2\nname\n")), "line 2: expected '<key> = <value>'");
  CHECK_HAS(refusal(sealed("rlhf-test 2\nname =a\n")), "line 2: expected '<key> = <value>'");
  CHECK_HAS(refusal(sealed("rlhf-test 2\nname = a")), "truncated");
}

TEST_CASE("a record cut anywhere is refused") {
  std::string const whole = record();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK(refusal(std::string_view(whole).substr(0, size)) != "");
  }
  CHECK(refusal(whole) == "");
}

TEST_CASE("numbers are read strictly") {
  std::uint64_t value = 0;
  CHECK(data::parse_number("18446744073709551615", value));
  CHECK(value == UINT64_MAX);
  for (char const* const wrong : {"", "01", "+1", "-1", " 1", "1 ", "1.0", "0x1"}) {
    CHECK_FALSE(data::parse_number(wrong, value));
  }
  CHECK(data::parse_hex("00000000000000ff", value));
  CHECK(value == 255);
  CHECK_FALSE(data::parse_hex("ff", value));
  CHECK_FALSE(data::parse_hex("00000000000000FF", value));
  CHECK(data::hex_text(0x0123456789abcdefULL) == "0123456789abcdef");
}

TEST_CASE("a value cannot smuggle in a line") {
  CHECK_THROWS_AS(data::TextRecordWriter("rlhf-test", 1).field("name", "a\nb = c"), rlhf::Error);
}
