/// @file
/// Brings the files and options of one configuration together. Layer: adapters.
#pragma once

#include <rlhf/adapters/detail/json_values.hpp>
#include <rlhf/config/check.hpp>
#include <rlhf/config/config.hpp>
#include <rlhf/config/environment.hpp>
#include <rlhf/config/read.hpp>
#include <rlhf/config/value.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/nearest.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::adapters::detail {

using config::Kind;
using config::Value;

/// Puts `over` above `under`: sections key by key, all else replaced.
inline void merge(Value& under, Value over) {
  if (under.kind != Kind::section || over.kind != Kind::section) {
    std::string key = std::move(under.key);
    under = std::move(over);
    under.key = std::move(key);
    return;
  }
  under.place = over.place;
  for (Value& item : over.items) {
    if (Value* const found = under.find(item.key)) {
      merge(*found, std::move(item));
    } else {
      under.items.push_back(std::move(item));
    }
  }
}

/// Takes the part up to the next dot, or the number in brackets, off a path.
[[nodiscard]] inline std::string_view next_key(std::string_view& path) {
  if (path.starts_with('.') || path.starts_with('[')) {
    path.remove_prefix(1);
  }
  std::size_t const end = path.find_first_of(".[]");
  std::string_view const key = path.substr(0, end);
  path = end == std::string_view::npos ? std::string_view{} : path.substr(end);
  if (path.starts_with(']')) {
    path.remove_prefix(1);
  }
  return key;
}

/// Where a setting was written, or else the section that it would be in.
[[nodiscard]] inline std::string const& place_of(Value const& root, std::string_view path) {
  Value const* at = &root;
  while (!path.empty()) {
    std::string_view const key = next_key(path);
    Value const* next = at->find(key);
    if (at->kind == Kind::list) {
      std::size_t number = 0;
      for (char const digit : key) {
        number = number * 10 + static_cast<std::size_t>(digit - '0');
      }
      next = number < at->items.size() ? &at->items[number] : nullptr;
    }
    if (next == nullptr) {
      break;
    }
    at = next;
  }
  return at->place;
}

/// `a/./b` and `a/c/../b` as `a/b`.
[[nodiscard]] inline std::string clean_path(std::string_view path) {
  std::vector<std::string_view> parts;
  bool const absolute = path.starts_with('/');
  while (!path.empty()) {
    std::size_t const slash = path.find('/');
    std::string_view const part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
    if (part == ".." && !parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!part.empty() && part != "." && !(part == ".." && absolute)) {
      parts.push_back(part);
    }
  }
  std::string out = absolute ? "/" : "";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    out += text(i == 0 ? "" : "/", parts[i]);
  }
  return out;
}

template <class Files, class Environment>
class ConfigLoader {
 public:
  ConfigLoader(Files files, Environment environment)
      : files_(std::move(files)),
        environment_(std::move(environment)) {}

  [[nodiscard]] config::Config load(std::string const& path,
                                    std::vector<std::string> const& options) {
    std::size_t const slash = path.rfind('/');
    directory_ = slash == std::string::npos ? "" : path.substr(0, slash + 1);
    Value root = with_includes(path, nullptr);
    for (std::string const& option : options) {
      set(root, option);
    }
    if (Value* const models = root.find("models")) {
      for (Value& model : models->items) {
        add_file(model);
      }
    }
    config::Config out;
    config::Reader<ParseRaw>().section(root, out, "");
    config::Faults const faults = config::faults_of(out);
    if (!faults.empty()) {
      fail(Errc::invalid_argument, text("config ", place_of(root, faults.front().path), ": ",
                                        config::describe(faults.front(), out)));
    }
    return out;
  }

 private:
  static constexpr int most_files = 256;
  static constexpr std::size_t most_nested = 16;

  /// One file, variables replaced. `named` is where another file names it, or null.
  [[nodiscard]] Value file(std::string const& path, Value const* named) {
    if (++files_read_ > most_files) {
      fail(Errc::invalid_argument,
           text("config ", named->place, ": more than ", most_files, " files are included"));
    }
    Value value = values_of(content(path, named), path);
    if (value.kind != Kind::section) {
      fail(Errc::invalid_argument,
           text("config ", value.place, ": a configuration file is one object { ... }, not ",
                config::show(value)));
    }
    config::Substitution<Environment>{environment_}(value);
    return value;
  }
  [[nodiscard]] std::string content(std::string const& path, Value const* named) const {
    try {
      return files_(path);
    } catch (Error const& error) {
      fail(Errc::io, named == nullptr ? text("config ", path, " cannot be read: ", error.message())
                                      : text("config ", named->place, ": ", config::show(*named),
                                             " cannot be read (", error.message(),
                                             "); paths are relative to the main file's directory"));
    }
  }

  /// A path that a file names.
  [[nodiscard]] std::string full(std::string_view path) const {
    return clean_path(path.starts_with('/') ? std::string(path) : text(directory_, path));
  }

  /// A file below what it includes.
  [[nodiscard]] Value with_includes(std::string const& path, Value const* named) {
    for (std::string const& open : open_) {
      if (open == clean_path(path)) {
        std::string chain;
        for (std::string const& one : open_) {
          chain += one + " -> ";
        }
        fail(Errc::invalid_argument,
             text("config ", named->place, ": includes go in a circle: ", chain, open));
      }
    }
    if (open_.size() >= most_nested) {
      fail(Errc::invalid_argument, text("config ", named->place, ": files include each other ",
                                        most_nested, " deep; is it a circle?"));
    }
    open_.push_back(clean_path(path));
    Value own = file(path, named);
    Value out;
    out.kind = Kind::section;
    if (Value const* const includes = own.find("includes")) {
      for (Value const& include : names(*includes)) {
        merge(out, with_includes(full(include.text), &include));
      }
    }
    open_.pop_back();
    merge(out, std::move(own));
    return out;
  }

  [[nodiscard]] static std::vector<Value> names(Value const& includes) {
    std::vector<Value> out = includes.kind == Kind::list ? includes.items : std::vector{includes};
    if (includes.kind == Kind::null) {
      out.clear();
    }
    for (Value const& one : out) {
      if (one.kind != Kind::text || one.text.empty()) {
        fail(Errc::invalid_argument, text("config ", one.place, ": includes has ",
                                          config::show(one), "; it must be a list of paths"));
      }
    }
    return out;
  }

  /// Puts a model's section above the file that it names.
  void add_file(Value& model) {
    Value const* const named = model.find("model_config_file");
    if (named == nullptr || named->kind == Kind::null ||
        (named->kind == Kind::text && named->text.empty())) {
      return;
    }
    if (named->kind != Kind::text) {
      fail(Errc::invalid_argument,
           text("config ", named->place, ": models.", model.key, ".model_config_file is ",
                config::show(*named), "; it must be a path"));
    }
    Value under = file(full(named->text), named);
    if (Value const* const again = under.find("model_config_file")) {
      fail(Errc::invalid_argument,
           text("config ", again->place, ": a model's file must not name another one"));
    }
    under.key = model.key;
    std::string const key = model.key;
    merge(under, std::move(model));
    model = std::move(under);
    model.key = key;
  }

  /// Sets `a.b=c`.
  static void set(Value& root, std::string const& option) {
    std::string const place =
        text("--set ", option.size() > 100 ? option.substr(0, 100) + "..." : option);
    std::size_t const equals = option.find('=');
    std::string_view const path = std::string_view(option).substr(0, equals);
    bool right = equals != std::string::npos && !path.empty() && path.front() != '.' &&
                 path.back() != '.' && path.find("..") == std::string_view::npos;
    if (!right) {
      fail(Errc::invalid_argument,
           text("config ", place, ": an option is written section.key=value, such as ",
                "runtime.num_episode=10"));
    }
    if (path == "includes") {
      fail(Errc::invalid_argument,
           text("config ", place, ": files are included before options are looked at; ",
                "put it into a file"));
    }
    Value* at = &root;
    std::string_view rest = path;
    for (int depth = 0; !rest.empty(); ++depth) {
      std::size_t const dot = rest.find('.');
      std::string_view const key = rest.substr(0, dot);
      bool const is_name = depth == 1 && (at->key == "models" || at->key == "links");
      rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
      at = &child(*at, key, is_name, place);
    }
    std::string key = std::move(at->key);
    *at = config::text_value(std::string_view(option).substr(equals + 1));
    at->key = std::move(key);
    at->place = place;
    at->raw = true;
  }

  /// The value under a key, made where there is none: but not a model or a link, whose name would
  /// be a misspelt one.
  [[nodiscard]] static Value& child(Value& at, std::string_view key, bool is_name,
                                    std::string const& place) {
    if (at.kind == Kind::list) {
      fail(Errc::invalid_argument,
           text("config ", place, ": ", at.key, " is a list; give the whole of it: a,b"));
    }
    Value written;
    if (at.raw && ParseRaw{}(at.text, written) && written.kind == Kind::section) {
      config::put_place(written, at.place);  // an earlier option gave the whole section
      written.key = at.key;
      at = std::move(written);
    }
    if (Value* const found = at.find(key)) {
      return *found;
    }
    if (is_name) {
      std::vector<std::string_view> known;
      for (Value const& item : at.items) {
        known.push_back(item.key);
      }
      fail(Errc::invalid_argument,
           text("config ", place, ": ", at.key, " has no \"", key, "\"",
                known.empty() ? "" : "; the nearest is \"",
                nearest(key, {known.data(), known.size()}), known.empty() ? "" : "\""));
    }
    if (at.kind != Kind::section) {  // a text, null or number: the option's section takes its place
      at.kind = Kind::section;
      at.place = place;
      at.raw = false;
      at.items.clear();
    }
    Value& made = at.items.emplace_back();
    made.key = key;
    made.place = place;
    made.kind = Kind::section;
    return made;
  }

  Files files_;
  Environment environment_;
  std::string directory_{};
  std::vector<std::string> open_{};
  int files_read_ = 0;
};

}  // namespace rlhf::inline v0::adapters::detail
