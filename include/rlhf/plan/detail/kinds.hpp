/// @file
/// Which parameters of two placements lie alike. Layer: plan, private.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace rlhf::inline v0::plan::detail {

/// Whether a sync can turn elements of one type into the other.
[[nodiscard]] constexpr bool converts(DType from, DType to) noexcept {
  auto const is_float = [](DType dtype) {
    return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
  };
  return from == to || (is_float(from) && is_float(to));
}

/// Source and destination pattern of each kind.
template <class T>
using KindPatterns = rlhf::detail::late_vector<std::pair<std::int32_t, std::int32_t>, T>;

/// Fills a plan's kinds, parameters and unused names.
template <class T>
class KindMaker {
  using Patterns = KindPatterns<T>;

 public:
  KindMaker(BasicPlacement<T> const& source, BasicPlacement<T> const& destination,
            BasicPlan<T>& plan)
      : source_(source),
        destination_(destination),
        plan_(plan) {}

  /// Groups the destination's parameters by how they lie on both sides.
  [[nodiscard]] Patterns make() {
    Patterns patterns;
    rlhf::detail::HashIndex<T> by_name;
    for (std::size_t s = 0; s < source_.parameters.size(); ++s) {
      by_name.add(Fingerprint().add(source_.parameters[s].name).value(), static_cast<int>(s));
    }
    rlhf::detail::late_vector<std::uint8_t, T> used(source_.parameters.size(), 0);
    rlhf::detail::HashIndex<T> by_look;
    for (std::size_t p = 0; p < destination_.parameters.size(); ++p) {
      PlacedParameter const& wanted = destination_.parameters[p];
      int const found = by_name.find(Fingerprint().add(wanted.name).value(), [&, this](int number) {
        return source_.parameters[static_cast<std::size_t>(number)].name == wanted.name;
      });
      if (found < 0) {
        refuse_missing(wanted, by_name);
      }
      PlacedParameter const& given = source_.parameters[static_cast<std::size_t>(found)];
      used[static_cast<std::size_t>(found)] = 1;
      if (given.global != wanted.global || !converts(given.dtype, wanted.dtype)) {
        refuse_difference(wanted, given);
      }
      std::int32_t const look[] = {given.pattern, wanted.pattern,
                                   static_cast<std::int32_t>(given.dtype),
                                   static_cast<std::int32_t>(wanted.dtype)};
      Fingerprint print;
      for (std::int32_t const value : look) {
        print.add(static_cast<std::uint64_t>(value));
      }
      add(print, wanted.global);
      auto const same = [&, this](int number) {
        auto const index = static_cast<std::size_t>(number);
        return patterns[index].first == given.pattern && patterns[index].second == wanted.pattern &&
               plan_.kinds[index].source_dtype == given.dtype &&
               plan_.kinds[index].destination_dtype == wanted.dtype &&
               plan_.kinds[index].global == wanted.global;
      };
      int kind = by_look.find(print.value(), same);
      if (kind < 0) {
        kind = static_cast<int>(plan_.kinds.size());
        by_look.add(print.value(), kind);
        plan_.kinds.push_back(Kind{given.dtype, wanted.dtype, wanted.global, {}});
        patterns.emplace_back(given.pattern, wanted.pattern);
      }
      plan_.kinds[static_cast<std::size_t>(kind)].parameters.push_back(
          static_cast<std::int32_t>(p));
      plan_.parameters.push_back(wanted.name);
    }
    for (std::size_t s = 0; s < used.size(); ++s) {
      if (used[s] == 0) {
        plan_.unused.push_back(source_.parameters[s].name);
      }
    }
    rlhf::detail::sort(plan_.unused);
    return patterns;
  }

 private:
  [[nodiscard]] int first_holder(BasicPlacement<T> const& side, std::int32_t pattern) const {
    for (Part const& part : side.patterns[static_cast<std::size_t>(pattern)]) {
      auto const& ranks = side.rank_sets[static_cast<std::size_t>(part.ranks)];
      return side.world_ranks[static_cast<std::size_t>(ranks.front())];
    }
    return side.world_ranks.front();
  }
  /// Names everything that lacks a source, and what the source has instead.
  [[noreturn]] void refuse_missing(PlacedParameter const& wanted,
                                   rlhf::detail::HashIndex<T> const& by_name) const {
    auto const few = [](rlhf::detail::late_vector<std::string_view, T> const& names) {
      std::string out;
      for (std::size_t i = 0; i < names.size() && i < 5; ++i) {
        out += text(i == 0 ? "" : ", ", names[i]);
      }
      return names.size() > 5 ? text(out, " and ", names.size() - 5, " more") : out;
    };
    auto const lacking = [](auto const& these, auto const& known) {
      rlhf::detail::late_vector<std::string_view, T> out;
      for (PlacedParameter const& parameter : these) {
        if (!known(parameter.name)) {
          out.push_back(parameter.name);
        }
      }
      return out;
    };
    auto const missing = lacking(destination_.parameters, [&, this](std::string_view name) {
      return by_name.find(Fingerprint().add(name).value(), [&, this](int number) {
        return source_.parameters[static_cast<std::size_t>(number)].name == name;
      }) >= 0;
    });
    rlhf::detail::HashIndex<T> in_destination;
    for (std::size_t p = 0; p < destination_.parameters.size(); ++p) {
      in_destination.add(Fingerprint().add(destination_.parameters[p].name).value(),
                         static_cast<int>(p));
    }
    auto const unused = lacking(source_.parameters, [&, this](std::string_view name) {
      return in_destination.find(Fingerprint().add(name).value(), [&, this](int number) {
        return destination_.parameters[static_cast<std::size_t>(number)].name == name;
      }) >= 0;
    });
    int const rank = first_holder(destination_, wanted.pattern);
    fail(Errc::incompatible_policy,
         text("parameter ", wanted.name, ": destination rank ", rank, " needs elements ",
              to_string(Box::whole(wanted.global)),
              ", which no source rank holds (the source has no parameter of that name). Without a "
              "source: ",
              few(missing),
              "; source parameters that nobody takes: ", unused.empty() ? "none" : few(unused),
              "; a name map or a subset may be what is wanted"),
         rank);
  }
  [[noreturn]] void refuse_difference(PlacedParameter const& wanted,
                                      PlacedParameter const& given) const {
    int const rank = first_holder(source_, given.pattern);
    fail(
        Errc::incompatible_policy,
        text("parameter ", wanted.name, " is ", rlhf::to_string(wanted.dtype), " ",
             to_string(wanted.global), " in the destination, but ", rlhf::to_string(given.dtype),
             " ", to_string(given.global), " on source rank ", rank,
             given.global != wanted.global ? "; global shapes must be equal on both sides"
                                           : "; types must be equal, or both of f32, bf16 and f16"),
        rank);
  }

  BasicPlacement<T> const& source_;
  BasicPlacement<T> const& destination_;
  BasicPlan<T>& plan_;
};

}  // namespace rlhf::inline v0::plan::detail
