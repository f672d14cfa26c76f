/// @file
/// Numbers, names and lists of a plan file. Layer: adapters, private.
#pragma once

#include <rlhf/adapters/detail/json_text.hpp>
#include <rlhf/adapters/detail/plan_format.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::plan::detail {

/// Values of a plan file's objects, each checked where it is read.
class PlanFields {
 protected:
  using Json = nlohmann::json;

  explicit PlanFields(std::string_view origin) : origin_(origin) {}

  [[noreturn]] void refuse(std::string_view key, std::string_view what) const {
    std::string place = list_ == nullptr ? "" : text(list_, "[", item_, "]");
    if (!key.empty()) {
      place += text(place.empty() ? "" : ".", key);
    }
    fail(Errc::invalid_argument,
         text("plan file ", origin_, place.empty() ? "" : ", ", place, ": ", what));
  }
  void require(bool right, std::string_view key, std::string_view what) const {
    if (!right) {
      refuse(key, what);
    }
  }
  [[nodiscard]] static std::string shown(std::string const& value) {
    return adapters::detail::shown(value);
  }
  void known(Json const& object, std::initializer_list<std::string_view> keys) const {
    std::string const wrong = adapters::detail::unknown_key(object, keys);
    require(wrong.empty(), "", wrong);
  }

  [[nodiscard]] Json const& at(Json const& object, char const* key) const {
    auto const found = object.find(key);
    if (found == object.end()) {
      refuse(key, "is missing");
    }
    return *found;
  }
  [[nodiscard]] std::int64_t whole(Json const& value, char const* key, std::int64_t least,
                                   std::int64_t most) const {
    bool const right =
        value.is_number_integer() &&
        (!value.is_number_unsigned() ||
         value.get<std::uint64_t>() <=
             static_cast<std::uint64_t>((std::numeric_limits<std::int64_t>::max)())) &&
        value.get<std::int64_t>() >= least && value.get<std::int64_t>() <= most;
    if (!right) {
      refuse(key, text("expected a whole number from ", least, " to ", most, ", found ",
                       value.is_number() ? value.dump() : std::string(value.type_name())));
    }
    return value.get<std::int64_t>();
  }
  [[nodiscard]] std::int64_t number(Json const& object, char const* key, std::int64_t least,
                                    std::int64_t most) const {
    return whole(at(object, key), key, least, most);
  }
  [[nodiscard]] std::string const& word(Json const& object, char const* key) const {
    Json const& value = at(object, key);
    require(value.is_string(), key, "expected a text");
    return value.get_ref<std::string const&>();
  }
  [[nodiscard]] Json const& list(Json const& object, char const* key) const {
    Json const& value = at(object, key);
    require(value.is_array(), key, "expected a list");
    return value;
  }
  template <class Enum>
  [[nodiscard]] Enum one_of(Json const& object, char const* key,
                            std::initializer_list<Enum> values) const {
    std::string const& name = word(object, key);
    std::string known;
    for (Enum const value : values) {
      if (name_of(value) == name) {
        return value;
      }
      known += text(known.empty() ? "" : ", ", name_of(value));
    }
    refuse(key, text("expected one of ", known, ", found ", shown(name)));
  }
  [[nodiscard]] static std::string_view name_of(Route route) { return to_string(route); }
  [[nodiscard]] static std::string_view name_of(DType dtype) { return rlhf::to_string(dtype); }
  [[nodiscard]] static std::string_view name_of(Method method) {
    return method == Method::send ? "send" : "broadcast";
  }

  /// Numbers from `least` to `most`, `limit` of them at most; runs are spread out.
  template <class Number>
  [[nodiscard]] std::vector<Number> numbers(Json const& value, char const* key, std::int64_t least,
                                            std::int64_t most, std::int64_t limit) {
    require(value.is_array(), key, "expected a list");
    std::vector<Number> out;
    auto const take = [&, this](std::int64_t count) {
      numbers_ += count;
      require(std::ssize(out) + count <= limit && numbers_ <= most_numbers, key,
              text("expected ", limit, " numbers at most"));
    };
    for (Json const& item : value) {
      if (!item.is_array()) {
        take(1);
        out.push_back(static_cast<Number>(whole(item, key, least, most)));
        continue;
      }
      require(item.size() == 3, key, "expected a number, or [first, step, count] for several");
      std::int64_t const first = whole(item[0], key, least, most);
      std::int64_t const step = whole(item[1], key, -most_bytes, most_bytes);
      std::int64_t const count = whole(item[2], key, 1, most_numbers);
      std::int64_t last = 0;
      require(!__builtin_mul_overflow(step, count - 1, &last) &&
                  !__builtin_add_overflow(first, last, &last) && last >= least && last <= most,
              key, text("expected numbers from ", least, " to ", most, " in [first, step, count]"));
      take(count);
      for (std::int64_t i = 0; i < count; ++i) {
        out.push_back(static_cast<Number>(first + i * step));
      }
    }
    return out;
  }
  [[nodiscard]] Extents extents(Json const& object, char const* key) const {
    Json const& values = list(object, key);
    require(values.size() <= static_cast<std::size_t>(max_rank), key,
            text("expected ", max_rank, " dimensions at most"));
    Extents out;
    for (Json const& value : values) {
      out.push_back(whole(value, key, 0, std::int64_t{1} << 55));
    }
    return out;
  }
  [[nodiscard]] std::vector<std::string> names(Json const& file, char const* key) const {
    std::vector<std::string> out;
    for (Json const& name : list(file, key)) {
      require(name.is_string(), key, "expected a list of texts");
      out.push_back(name.get<std::string>());
    }
    std::vector<std::string_view> sorted(out.begin(), out.end());
    rlhf::detail::sort(sorted);
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      require(sorted[i - 1] != sorted[i], key,
              text("the name ", shown(std::string(sorted[i])), " is there twice"));
    }
    return out;
  }
  /// Calls `read(item)` for every object of a list; errors then name it.
  template <class Read>
  void each(Json const& file, char const* key, Read&& read) {
    Json const& all = list(file, key);
    list_ = key;
    item_ = 0;
    for (Json const& item : all) {
      require(item.is_object(), "", "expected an object");
      read(item);
      ++item_;
    }
    list_ = nullptr;
  }

  std::string origin_;
  char const* list_ = nullptr;  ///< That is being read, for messages.
  std::size_t item_ = 0;        ///< Of that list.
  std::int64_t numbers_ = 0;    ///< In all lists so far.
};

}  // namespace rlhf::inline v0::plan::detail
