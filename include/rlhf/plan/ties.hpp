/// @file
/// Parameters of a model that are the same memory. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/model_list.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {
namespace detail {

/// The parameters of a model by name.
template <class T>
class NamesOf {
 public:
  explicit NamesOf(BasicModelList<T> const& model) : model_(model) {
    for (std::size_t p = 0; p < model.parameters.size(); ++p) {
      index_.add(Fingerprint().add(model.parameters[p].name).value(), static_cast<int>(p));
    }
  }
  /// Index of the parameter, or -1.
  [[nodiscard]] std::int32_t find(std::string_view name) const {
    return index_.find(Fingerprint().add(name).value(), [&, this](int number) {
      return model_.parameters[static_cast<std::size_t>(number)].name == name;
    });
  }

 private:
  BasicModelList<T> const& model_;
  rlhf::detail::HashIndex<T> index_;
};

}  // namespace detail

/// Of every parameter the index of the one that it is the same memory as, over any number of ties:
/// its own where it is tied to none.
///
/// Errors: invalid_argument naming both where a tie leads to no parameter, to itself, in a circle,
/// or to another shape or type. Cost: a hash a parameter.
template <class T>
[[nodiscard]] rlhf::detail::late_vector<std::int32_t, T> tie_roots(BasicModelList<T> const& model) {
  rlhf::detail::late_vector<std::int32_t, T> roots(model.parameters.size(), -1);
  detail::NamesOf<T> const names(model);
  rlhf::detail::late_vector<std::size_t, T> chain;
  for (std::size_t p = 0; p < roots.size(); ++p) {
    chain.clear();
    std::size_t at = p;
    while (roots[at] < 0 && !model.parameters[at].tied_to.empty()) {
      auto const& parameter = model.parameters[at];
      std::int32_t const next = names.find(parameter.tied_to);
      if (next < 0) {
        fail(Errc::invalid_argument, text("parameter ", parameter.name, " is tied to ",
                                          parameter.tied_to, ", which the model does not list"));
      }
      chain.push_back(at);
      roots[at] = -2;  // on the way
      if (roots[static_cast<std::size_t>(next)] == -2) {
        fail(Errc::invalid_argument, text("parameter ", parameter.name, " is tied to ",
                                          parameter.tied_to, " and that, in a circle, to it"));
      }
      auto const& other = model.parameters[static_cast<std::size_t>(next)];
      if (other.shape != parameter.shape || other.dtype != parameter.dtype) {
        fail(Errc::invalid_argument, text("parameter ", parameter.name, " is tied to ", other.name,
                                          ", which has another shape or type"));
      }
      at = static_cast<std::size_t>(next);
      if (roots[at] >= 0) {
        break;
      }
    }
    std::int32_t const root = roots[at] >= 0 ? roots[at] : static_cast<std::int32_t>(at);
    roots[at] = root;
    for (std::size_t const one : chain) {
      roots[one] = root;
    }
  }
  return roots;
}

/// Lists tied parameters of the source under their own names, too, where the destination has them
/// apart: it then takes the same memory under both names. `renamed(name)` is what the destination
/// calls a source parameter, a NameMap for example.
///
/// Errors: as tie_roots.
template <class T, class Names>
void list_tied(BasicModelList<T>& source, BasicModelList<T> const& destination, Names&& renamed) {
  auto const from = tie_roots(source);
  auto const to = tie_roots(destination);
  detail::NamesOf<T> const names(destination);
  for (std::size_t p = 0; p < from.size(); ++p) {
    if (from[p] != static_cast<std::int32_t>(p)) {
      std::int32_t const wanted = names.find(renamed(source.parameters[p].name));
      source.parameters[p].listed = wanted >= 0 && to[static_cast<std::size_t>(wanted)] == wanted;
    }
  }
}

/// The same for equal names on both sides.
template <class T>
void list_tied(BasicModelList<T>& source, BasicModelList<T> const& destination) {
  list_tied(source, destination, [](std::string const& name) { return name; });
}

/// Leaves only the parameters for which `wanted(name)` holds. Ties among them stay: where the one
/// that others were tied to goes, they are tied to the first that is left.
///
/// Errors: as tie_roots.
template <class T, class Wanted>
void keep(BasicModelList<T>& model, Wanted&& wanted) {
  auto const roots = tie_roots(model);
  rlhf::detail::late_vector<std::int32_t, T> first(roots.size(), -1);  // left, of every root's
  rlhf::detail::late_vector<ModelParameter, T> kept;
  for (std::size_t p = 0; p < roots.size(); ++p) {
    if (!wanted(std::string_view(model.parameters[p].name))) {
      continue;
    }
    std::int32_t& head = first[static_cast<std::size_t>(roots[p])];
    kept.push_back(model.parameters[p]);
    kept.back().tied_to.clear();
    if (head >= 0) {
      kept.back().tied_to = kept[static_cast<std::size_t>(head)].name;
    } else {
      head = static_cast<std::int32_t>(kept.size()) - 1;
    }
  }
  model.parameters = std::move(kept);
}

}  // namespace rlhf::inline v0::plan
