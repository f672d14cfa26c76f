// What a link does besides moving equal parameters of equal names: names, subsets, tied weights,
// types, and what it says about holes.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>
#include <rlhf/tensor/convert.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using rlhf::BFloat16;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Version;
using rlhf::comm::Local;

namespace {

namespace sync = rlhf::sync;
namespace plan = rlhf::plan;
namespace shard = rlhf::shard;

constexpr Layout pair{.tensor = 2};

/// A model of named tensors of 8 x 3, cut by rows.
template <class Element>
struct Named : rlhf::Module<rlhf::Grid<pair>, sync::Reshard<>> {
  struct Entry {
    std::string name;
    std::vector<Element> own;
    std::vector<Element>* memory = nullptr;
  };
  Named(Mesh mesh, int rank, std::vector<std::string> const& names)
      : Module(std::move(mesh), rank) {
    entries.reserve(16);
    for (std::string const& name : names) {
      entries.push_back({name, std::vector<Element>(12), nullptr});
      entries.back().memory = &entries.back().own;
    }
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (Entry& entry : entries) {
      visit(entry.name, rlhf::view(*entry.memory, {4, 3}), shard::rows());
    }
  }
  std::vector<Element>& of(std::string const& name) {
    for (Entry& entry : entries) {
      if (entry.name == name) {
        return *entry.memory;
      }
    }
    throw std::out_of_range(name);
  }
  std::vector<Entry> entries;
};

void on_four(std::function<void(Local&)> const& body) {
  rlhf::comm::run_local(4, [&](Local world) { body(world); });
}

std::string refusal(std::vector<std::string> const& source,
                    std::vector<std::string> const& destination, sync::LinkOptions const& options) {
  std::string said;
  try {
    on_four([&](Local& world) {
      Named<float> from(Mesh::range(0, 2), world.rank(), source);
      Named<float> to(Mesh::range(2, 2), world.rank(), destination);
      sync::Link const link(world, from, to, options);
    });
  } catch (rlhf::Error const& error) {
    said = error.what();
  }
  return said;
}

bool says(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("names: rules bring the source's names to the destination's") {
  on_four([](Local& world) {
    Named<float> from(Mesh::range(0, 2), world.rank(), {"layers.0.w1", "layers.11.w1", "norm"});
    Named<float> to(Mesh::range(2, 2), world.rank(), {"blocks.11.gate", "norm", "blocks.0.gate"});
    sync::LinkOptions options;
    options.names = plan::NameMap{{"layers.{l}.w1", "blocks.{l}.gate"}};
    sync::Link link(world, from, to, options);
    if (from.present()) {
      from.of("layers.0.w1").assign(12, 1);
      from.of("layers.11.w1").assign(12, 2);
      from.of("norm").assign(12, 3);
    }
    link.sync(Version{1});
    link.verify();
    link.verify(sync::Verification::full);
    if (to.present()) {
      CHECK(to.of("blocks.0.gate") == std::vector<float>(12, 1));
      CHECK(to.of("blocks.11.gate") == std::vector<float>(12, 2));
      CHECK(to.of("norm") == std::vector<float>(12, 3));
    }
    link.rebind();  // names are mapped again
    link.sync(Version{2});
  });
}

TEST_CASE("a hole in the names is said with everything that lacks a source, and what is left") {
  std::string const said = refusal({"a", "x", "y"}, {"a", "b", "c"}, {});
  CHECK(says(said, "parameter b"));
  CHECK(says(said, "no parameter of that name"));
  CHECK(says(said, "Without a source: b, c;"));
  CHECK(says(said, "nobody takes: x, y;"));
}

TEST_CASE("two source parameters of one name are refused with both") {
  sync::LinkOptions options;
  options.names = plan::NameMap{{"a{n}", "a"}, {"b", "b"}};
  std::string const said = refusal({"a1", "a2", "b"}, {"a", "b"}, options);
  CHECK(says(said, "both a1 and a2 a"));
  CHECK(says(said, "exactly one source"));
}

TEST_CASE("name rules: words, first fit, whole names only, errors") {
  plan::NameMap const names{{"h.{i}.w", "layers.{i}.weight"},
                            {"h.{i}.{what}", "layers.{i}.other.{what}"},
                            {"{a}-{b}", "{b}-{a}"}};
  CHECK(names("h.7.w") == "layers.7.weight");
  CHECK(names("h.7.x") == "layers.7.other.x");
  CHECK(names("h.7.x.y") == "h.7.x.y");  // a word has no dots
  CHECK(names("h..w") == "h..w");        // and is not empty
  CHECK(names("left-right") == "right-left");
  CHECK(names("") == "");
  auto const refuses = [](char const* from, char const* to, char const* part) {
    CHECK_THROWS_WITH(static_cast<void>(plan::NameMap{{from, to}}), doctest::Contains(part));
  };
  refuses("a.{i}", "b.{j}", "{j}");
  refuses("a.{i", "b", "brace");
  refuses("", "b", "needs a name");
}

TEST_CASE("globs") {
  CHECK(plan::matches_glob("model.lora_A.weight", "*lora*"));
  CHECK(plan::matches_glob("lora", "lora"));
  CHECK(plan::matches_glob("lora", "*"));
  CHECK(plan::matches_glob("", "*"));
  CHECK(plan::matches_glob("a.b.c.d", "a*c*d"));
  CHECK_FALSE(plan::matches_glob("a.b.c.d", "a*c*e"));
  CHECK_FALSE(plan::matches_glob("loras", "lora"));
  CHECK_FALSE(plan::matches_glob("lora", ""));
  CHECK(plan::matches_glob("aaab", "*aab"));
}

TEST_CASE("subsets: only adapters, by glob or by predicate; the rest keeps its memory") {
  for (bool const by_glob : {true, false}) {
    on_four([&](Local& world) {
      Named<float> from(Mesh::range(0, 2), world.rank(), {"w", "w.lora_A", "w.lora_B"});
      Named<float> to(Mesh::range(2, 2), world.rank(), {"w", "w.lora_B", "w.lora_A", "only_here"});
      sync::LinkOptions options;
      if (by_glob) {
        options.only = {"*.lora_*"};
      } else {
        options.wanted = [](std::string_view name) {
          return name.find("lora") != std::string_view::npos;
        };
      }
      sync::Link link(world, from, to, options);
      CHECK(link.plan().parameters == std::vector<std::string>{"w.lora_B", "w.lora_A"});
      CHECK(link.plan().unused == std::vector<std::string>{"w"});
      if (from.present()) {
        from.of("w").assign(12, 1);
        from.of("w.lora_A").assign(12, 2);
        from.of("w.lora_B").assign(12, 3);
      }
      link.sync(Version{1});
      link.verify();
      if (to.present()) {
        CHECK(to.of("w") == std::vector<float>(12, 0));
        CHECK(to.of("w.lora_A") == std::vector<float>(12, 2));
        CHECK(to.of("w.lora_B") == std::vector<float>(12, 3));
      }
    });
  }
}

TEST_CASE("tied weights are sent once where the destination ties them, twice where it does not") {
  for (bool const tied : {true, false}) {
    on_four([&](Local& world) {
      Named<float> from(Mesh::range(0, 2), world.rank(), {"embed", "head"});
      Named<float> to(Mesh::range(2, 2), world.rank(), {"embed", "head"});
      from.entries[1].memory = &from.entries[0].own;
      if (tied) {
        to.entries[1].memory = &to.entries[0].own;
      }
      sync::Link link(world, from, to);
      CHECK(link.plan().bytes_moved == (tied ? 1 : 2) * 8 * 3 * 4);
      if (from.present()) {
        from.of("embed").assign(12, 5);
      }
      link.sync(Version{1});
      link.verify();
      if (to.present()) {
        CHECK(to.of("embed") == std::vector<float>(12, 5));
        CHECK(to.of("head") == std::vector<float>(12, 5));
      }
    });
  }
}

namespace {

/// Sends values of one type to a model of another; what arrives must be the cast values.
template <class From, class To>
void check_cast(std::function<From(float)> const& make, std::function<float(To)> const& read,
                std::int64_t bytes_each) {
  on_four([&](Local& world) {
    Named<From> from(Mesh::range(0, 2), world.rank(), {"a", "b"});
    Named<To> to(Mesh::range(1, 2), world.rank(), {"a", "b"});  // rank 1 is on both sides
    sync::Link link(world, from, to);
    CHECK(link.plan().bytes_needed == 2 * 24 * bytes_each);
    float const start = from.present() ? 1.5F + static_cast<float>(from.coordinate().tensor) : 0;
    if (from.present()) {
      for (int i = 0; i < 12; ++i) {
        from.of("a")[static_cast<std::size_t>(i)] = make(start + static_cast<float>(i) / 256);
        from.of("b")[static_cast<std::size_t>(i)] = make(-start * static_cast<float>(i));
      }
    }
    link.sync(Version{1});
    link.verify();
    link.verify(sync::Verification::full);
    if (to.present()) {
      float const sent = 1.5F + static_cast<float>(to.coordinate().tensor);
      for (int i = 0; i < 12; ++i) {
        auto const at = static_cast<std::size_t>(i);
        float const a = sent + static_cast<float>(i) / 256;
        float const b = -sent * static_cast<float>(i);
        CHECK(read(to.of("a")[at]) == doctest::Approx(a).epsilon(0.01));
        CHECK(read(to.of("b")[at]) == doctest::Approx(b).epsilon(0.01));
      }
      // A wrong bit is found through the cast.
      auto* const byte = reinterpret_cast<unsigned char*>(to.of("a").data());
      *byte = static_cast<unsigned char>(*byte ^ 1U);
    }
    bool found = false;
    try {
      link.verify();
    } catch (rlhf::Error const& error) {
      found = error.code() == rlhf::Errc::corrupted;
    }
    CHECK(found);  // where it is, and on all other ranks
  });
}

}  // namespace

TEST_CASE("types may differ: elements are cast on the way, the smaller type travels") {
  auto const narrow = [](float value) { return rlhf::to_bfloat16(value); };
  auto const half = [](float value) { return rlhf::to_float16(value); };
  auto const wide = [](float value) { return value; };
  auto const from_narrow = [](BFloat16 value) { return rlhf::to_float(value); };
  auto const from_half = [](rlhf::Float16 value) { return rlhf::to_float(value); };
  check_cast<float, BFloat16>(wide, from_narrow, 2);
  check_cast<BFloat16, float>(narrow, wide, 2);
  check_cast<BFloat16, rlhf::Float16>(narrow, from_half, 2);
  check_cast<float, rlhf::Float16>(wide, from_half, 2);
  check_cast<rlhf::Float16, float>(half, wide, 2);
}

TEST_CASE("types that cannot be converted are refused") {
  std::string said;
  try {
    on_four([&](Local& world) {
      Named<std::int32_t> from(Mesh::range(0, 2), world.rank(), {"a"});
      Named<float> to(Mesh::range(2, 2), world.rank(), {"a"});
      sync::Link const link(world, from, to);
    });
  } catch (rlhf::Error const& error) {
    said = error.what();
  }
  CHECK(says(said, "i32"));
  CHECK(says(said, "f32, bf16 and f16"));
}

namespace {

/// Experts of 3 elements in slots, by a table of any ranks and repeats: a user's own rule.
struct SlotRule {
  std::vector<int> experts;
  [[nodiscard]] rlhf::Holding holding(rlhf::Shape const& local, Layout const&,
                                      rlhf::Coordinate const&) const {
    rlhf::Holding out{{4, local[1]}, {}};
    for (std::size_t slot = 0; slot < experts.size(); ++slot) {
      out.boxes.push_back({{{experts[slot], 0}, {1, local[1]}}, {static_cast<int>(slot), 0}});
    }
    return out;
  }
};

struct Experts : rlhf::Module<rlhf::Grid<pair>, sync::Reshard<>> {
  using Module::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("experts", rlhf::view(memory, {static_cast<std::int64_t>(table.size()), 3}),
          SlotRule{table});
  }
  void use(std::vector<int> experts) {
    table = std::move(experts);
    memory.assign(3 * table.size(), -1);
  }
  [[nodiscard]] bool holds(float version) const {
    for (std::size_t i = 0; i < memory.size(); ++i) {
      if (memory[i] != version + static_cast<float>(table[i / 3])) {
        return false;
      }
    }
    return true;
  }
  std::vector<int> table;
  std::vector<float> memory;
};

}  // namespace

TEST_CASE("redundant experts: any table, changed between syncs, on the same communicator") {
  on_four([](Local& world) {
    Experts from(Mesh::range(0, 2), world.rank());
    Experts to(Mesh::range(2, 2), world.rank());
    int const side = world.rank() % 2;
    from.use(side == 0 ? std::vector<int>{0, 1} : std::vector<int>{2, 3});
    to.use(side == 0 ? std::vector<int>{3, 0} : std::vector<int>{1, 2, 3});
    sync::Link link(world, from, to);
    auto const send = [&](float version) {
      for (std::size_t i = 0; i < from.memory.size(); ++i) {
        from.memory[i] = version + static_cast<float>(from.table[i / 3]);
      }
      link.sync(Version{static_cast<std::int64_t>(version)});
      link.verify();
      CHECK((!to.present() || to.holds(version)));
    };
    send(100);
    CHECK(link.plan().bytes_moved == 5 * 12);
    to.use(side == 0 ? std::vector<int>{2, 1, 0} : std::vector<int>{3});
    link.replan();
    CHECK_FALSE(link.version().has_value());
    send(200);
    CHECK(link.plan().bytes_moved == 4 * 12);
    from.use(side == 0 ? std::vector<int>{3, 2, 1, 0} : std::vector<int>{});
    link.replan();
    send(300);
  });
}
