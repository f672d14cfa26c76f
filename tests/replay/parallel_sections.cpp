// Orders of query, key and value in fused tensors.
#include <rlhf/parallel/fused.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "replay/section.hpp"

using replay::json;
using rlhf::Coordinate;
using rlhf::Holding;
using rlhf::Layout;
using rlhf::TensorView;
using rlhf::fused::Heads;
using rlhf::fused::QkvOrder;

namespace {

using Element = std::pair<std::string, std::int64_t>;  // canonical tensor, row-major element

/// The canonical element of each element of a rank's fused tensor, row-major.
std::vector<Element> elements_of(rlhf::Shape const& shape, Heads const& heads, int ranks, int rank,
                                 QkvOrder order) {
  std::vector<float> memory(static_cast<std::size_t>(rlhf::element_count(shape)));
  std::vector<Element> out(memory.size());
  std::int64_t const columns = shape.rank() == 1 ? 1 : shape[1];
  auto const visit = [&](std::string_view name, TensorView const& view, auto const& rule) {
    Holding const held =
        rule.holding(view.shape, Layout{.tensor = ranks}, Coordinate{.tensor = rank});
    std::int64_t const base = static_cast<float*>(view.data) - memory.data();
    for (rlhf::HeldBox const& one : held.boxes) {
      for (std::int64_t i = 0; i < one.box.elements(); ++i) {  // whole rows
        auto const at = static_cast<std::size_t>(base + one.local_start[0] * columns + i);
        out.at(at) = {std::string(name), one.box.start[0] * columns + i};
      }
    }
  };
  rlhf::fused::qkv(visit, rlhf::view(memory, shape), {"q", "k", "v"}, heads, ranks, order);
  return out;
}

/// For each element of `wanted`, its place in `given`.
std::vector<std::int64_t> places(std::vector<Element> const& wanted,
                                 std::vector<Element> const& given) {
  std::map<Element, std::int64_t> at;
  for (std::size_t i = 0; i < given.size(); ++i) {
    at[given[i]] = static_cast<std::int64_t>(i);
  }
  std::vector<std::int64_t> out;
  for (Element const& element : wanted) {
    auto const found = at.find(element);
    out.push_back(found == at.end() ? -1 : found->second);
  }
  return out;
}

// ---- split_attn_state: interleaved groups become all query, all key, all value heads; all equal

void check_interleaved(json const& one, replay::Entry& result) {
  Heads const heads{one.at("num_heads").get<std::int64_t>(),
                    one.at("num_query_groups").get<std::int64_t>(),
                    one.at("kv_channels").get<std::int64_t>()};
  rlhf::Shape shape;
  for (json const& extent : one.at("in_shape")) {
    shape.push_back(extent.get<std::int64_t>());
  }
  result.equal("rows",
               places(elements_of(shape, heads, 1, 0, QkvOrder::concatenated),
                      elements_of(shape, heads, 1, 0, QkvOrder::interleaved)),
               one.at("out").get<std::vector<std::int64_t>>());
}
replay::Registration const split_attention("split_attn_state", check_interleaved);

// ---- regroup_qkv: what the ranks of a larger tensor size take of a rank's query|key|value; all
// equal but for entries whose note says that they are a defect. There the reference gives rank 1
// the key and value heads 1 and 2 instead of 2 and 3; the right order is what its own layout (and
// vLLM) asks for: each rank's query heads, then its key heads, then its value heads.

void check_regrouped(json const& one, replay::Entry& result) {
  int const source = one.at("src_tp").get<int>();
  int const destination = one.at("dst_tp").get<int>();
  Heads const heads{one.at("heads_total").get<std::int64_t>(),
                    one.at("num_query_groups").get<std::int64_t>(),
                    one.at("head_dim").get<std::int64_t>()};
  replay::require(source >= 1 && destination >= source && destination % source == 0,
                  "dst_tp is no multiple of src_tp");
  bool const bias = one.at("one_d").get<bool>();
  auto const shape_of = [&](std::int64_t rows) {
    return bias ? rlhf::Shape{rows} : rlhf::Shape{rows, 1};
  };
  auto const recorded = one.at("out_row_ids").get<std::vector<std::int64_t>>();
  std::int64_t const slices = destination / source;  // those that rank 0 of the source serves
  std::int64_t const rows = std::ssize(recorded) / slices;
  std::int64_t const in_rows = one.at("in_rows").get<std::int64_t>();
  std::vector<Element> const given =
      elements_of(shape_of(in_rows), heads, source, 0, QkvOrder::concatenated);
  std::vector<std::int64_t> made;
  for (int rank = 0; rank < slices; ++rank) {
    for (std::int64_t const place :
         places(elements_of(shape_of(rows), heads, destination, rank, QkvOrder::concatenated),
                given)) {
      made.push_back(place);
    }
  }
  if (!one.contains("note")) {
    result.equal("rows", made, recorded);
    return;
  }
  std::vector<std::int64_t> right;  // from the counts of heads, without the library
  std::int64_t const queries = heads.query / source * heads.rows;
  std::int64_t const others = heads.key_value / source * heads.rows;
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    std::int64_t begin = 0;
    for (std::int64_t const section : {queries, others, others}) {
      for (std::int64_t i = 0; i < section / slices; ++i) {
        right.push_back(begin + slice * (section / slices) + i);
      }
      begin += section;
    }
  }
  result.equal("rows, in place of the recorded defect", made, right);
  result.right("the entry is recorded as a defect, but equals what is right", made != recorded);
}
replay::Registration const regroup("regroup_qkv", check_regrouped);

}  // namespace
