#include "drawing.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

#include <fmt/format.h>

#include "flow_matrix.hpp"
#include "report.hpp"
#include "units.hpp"

namespace planner {
namespace {

constexpr double width = 1200;
constexpr double margin = 40;

std::string escaped(std::string_view words) {
  std::string out;
  for (char const c : words) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&apos;";
        break;
      default:
        out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return out;
}

/// `words` in at most `most` characters.
std::string shortened(std::string words, std::size_t most) {
  if (words.size() > most) {
    words.resize(most - 3);
    words += "...";
  }
  return words;
}

std::string label(double x, double y, std::string_view words, std::string_view anchor = "start",
                  std::string_view kind = "") {
  return fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}'{}>{}</text>\n", x, y, anchor,
                     kind.empty() ? "" : fmt::format(" class='{}'", kind), escaped(words));
}

std::string upright(double x, double y, std::string_view words, std::string_view anchor,
                    std::string_view kind = "") {
  return fmt::format(
      "<text transform='translate({:.1f} {:.1f}) rotate(-90)' text-anchor='{}'{}>{}</text>\n", x, y,
      anchor, kind.empty() ? "" : fmt::format(" class='{}'", kind), escaped(words));
}

/// From nearly white to dark blue.
std::string colour(double part) {
  struct Stop {
    double at, red, green, blue;
  };
  constexpr Stop stops[] = {{0, 227, 238, 249},
                            {0.25, 170, 205, 232},
                            {0.5, 100, 164, 212},
                            {0.75, 38, 110, 178},
                            {1, 8, 48, 107}};
  std::size_t i = 1;
  while (i + 1 < std::size(stops) && part > stops[i].at) {
    ++i;
  }
  double const t = std::clamp((part - stops[i - 1].at) / (stops[i].at - stops[i - 1].at), 0.0, 1.0);
  auto const mix = [&](double Stop::*channel) {
    return static_cast<int>(
        std::lround(stops[i - 1].*channel + t * (stops[i].*channel - stops[i - 1].*channel)));
  };
  return fmt::format("#{:02x}{:02x}{:02x}", mix(&Stop::red), mix(&Stop::green), mix(&Stop::blue));
}

std::string group_text(std::vector<int> const& ranks) {
  return ranks.size() == 1 ? fmt::format("{}", ranks.front())
                           : fmt::format("{}-{}", ranks.front(), ranks.back());
}

/// How many cells apart labels and domains must be, at `cell` pixels each, for `room` pixels.
std::size_t every(double cell, double room) {
  std::size_t step = 1;
  while (static_cast<double>(step) * cell < room) {
    step *= 2;
  }
  return step;
}

/// The strip beside the matrix that shows domains, along one axis. `place(begin, end, band)` draws
/// a piece from cell `begin` to `end`.
template <class Place>
void for_each_domain(MatrixAxis const& axis, Place&& place) {
  for (std::size_t begin = 0; begin < axis.groups.size();) {
    std::size_t end = begin + 1;
    while (end < axis.groups.size() && axis.domains[end] == axis.domains[begin]) {
      ++end;
    }
    place(begin, end, axis.domains[begin] % 2);
    begin = end;
  }
}

/// The matrix with its legend; `top` moves below it.
std::string matrix_panel(Study const& study, double& top) {
  FlowMatrix const matrix = flow_matrix(study.plan, study.topology);
  std::size_t const rows = matrix.senders.groups.size();
  std::size_t const columns = matrix.receivers.groups.size();
  bool const has_domains = matrix.senders.domains_fit && matrix.receivers.domains_fit &&
                           (matrix.senders.domain_count > 1 || matrix.receivers.domain_count > 1 ||
                            matrix.senders.domains != matrix.receivers.domains);
  double const cell =
      std::clamp(std::floor(640.0 / static_cast<double>(std::max(rows, columns))), 10.0, 48.0);
  double const left = margin + 130;
  std::string out = label(margin, top + 18, "Who sends how much to whom", "start", "title");
  auto const side = [](MatrixAxis const& axis, char const* what) {
    std::size_t const each = axis.groups.empty() ? 1 : axis.groups.front().size();
    return each == 1 ? fmt::format("{} rank", what)
                     : fmt::format("{} ranks, {} a cell", what, each);
  };
  std::size_t longest = 1;
  for (auto const& group : matrix.receivers.groups) {
    longest = std::max(longest, group_text(group).size());
  }
  double const label_height = 8 * static_cast<double>(longest) + 26;
  top += 58 + label_height;
  double const matrix_width = cell * static_cast<double>(columns);
  double const matrix_height = cell * static_cast<double>(rows);
  auto const x_of = [&](std::size_t column) { return left + cell * static_cast<double>(column); };
  auto const y_of = [&](std::size_t row) { return top + cell * static_cast<double>(row); };

  out += fmt::format("<rect x='{}' y='{}' width='{}' height='{}' class='ground'/>\n", left, top,
                     matrix_width, matrix_height);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      std::int64_t const bytes = matrix.bytes[r * columns + c];
      if (bytes == 0) {
        continue;
      }
      double const part = static_cast<double>(bytes) / static_cast<double>(matrix.most);
      out += fmt::format(
          "<rect x='{:.0f}' y='{:.0f}' width='{:.0f}' height='{:.0f}' fill='{}'><title>{} to {}: "
          "{}</title></rect>\n",
          x_of(c), y_of(r), cell, cell, colour(part), group_text(matrix.senders.groups[r]),
          group_text(matrix.receivers.groups[c]), bytes_text(bytes));
      if (cell >= 40) {
        auto const words = bytes_text(bytes);
        std::size_t const space = words.find(' ');
        out += fmt::format(
            "<text x='{0:.0f}' y='{1:.0f}' text-anchor='middle' font-size='11' fill='{3}' "
            "pointer-events='none'>{4}<tspan x='{0:.0f}' y='{2:.0f}'>{5}</tspan></text>\n",
            x_of(c) + cell / 2, y_of(r) + cell / 2 - 1, y_of(r) + cell / 2 + 12,
            part > 0.55 ? "white" : "#222", words.substr(0, space), words.substr(space + 1));
      }
    }
  }
  for (std::size_t r = 1; cell >= 16 && r < rows; ++r) {
    out += fmt::format("<line x1='{}' x2='{}' y1='{}' y2='{}' class='cell'/>\n", left,
                       left + matrix_width, y_of(r), y_of(r));
  }
  for (std::size_t c = 1; cell >= 16 && c < columns; ++c) {
    out += fmt::format("<line x1='{}' x2='{}' y1='{}' y2='{}' class='cell'/>\n", x_of(c), x_of(c),
                       top, top + matrix_height);
  }

  // Ranks along both sides, then domains, then what the side is.
  std::size_t const row_step = every(cell, 14);
  for (std::size_t r = 0; r < rows; r += row_step) {
    out += label(left - 22, y_of(r) + cell / 2 + 5, group_text(matrix.senders.groups[r]), "end");
  }
  std::size_t const column_step = every(cell, 14);
  for (std::size_t c = 0; c < columns; c += column_step) {
    out +=
        upright(x_of(c) + cell / 2 + 5, top - 22, group_text(matrix.receivers.groups[c]), "start");
  }
  if (has_domains) {
    for_each_domain(matrix.senders, [&](std::size_t begin, std::size_t end, int band) {
      out += fmt::format(
          "<rect x='{}' y='{}' width='8' height='{}' class='domain{}'><title>domain {}</title>"
          "</rect>\n",
          left - 14, y_of(begin), y_of(end) - y_of(begin), band, matrix.senders.domains[begin]);
      if (begin > 0 && static_cast<double>(end - begin) * cell >= 20) {
        out += fmt::format("<line x1='{}' x2='{}' y1='{}' y2='{}' class='border'/>\n", left - 14,
                           left + matrix_width, y_of(begin), y_of(begin));
      }
    });
    for_each_domain(matrix.receivers, [&](std::size_t begin, std::size_t end, int band) {
      out += fmt::format(
          "<rect x='{}' y='{}' width='{}' height='8' class='domain{}'><title>domain {}</title>"
          "</rect>\n",
          x_of(begin), top - 14, x_of(end) - x_of(begin), band, matrix.receivers.domains[begin]);
      if (begin > 0 && static_cast<double>(end - begin) * cell >= 20) {
        out += fmt::format("<line x1='{}' x2='{}' y1='{}' y2='{}' class='border'/>\n", x_of(begin),
                           x_of(begin), top - 14, top + matrix_height);
      }
    });
  }
  out += fmt::format("<rect x='{}' y='{}' width='{}' height='{}' class='frame'/>\n", left, top,
                     matrix_width, matrix_height);
  out += label(left, top - label_height - 8, side(matrix.receivers, "receiving"), "start", "axis");
  std::size_t longest_row = 1;
  for (auto const& group : matrix.senders.groups) {
    longest_row = std::max(longest_row, group_text(group).size());
  }
  out += upright(left - 36 - 8 * static_cast<double>(longest_row), top,
                 side(matrix.senders, "sending"), "end", "axis");

  // The legend, and the numbers that matter, to the right.
  double const right = std::max(left + matrix_width + 50, 470.0);
  double y = top + 4;
  out += label(right, y, fmt::format("bytes a cell, up to {}", bytes_text(matrix.most)), "start",
               "axis");
  for (int i = 0; i <= 60; ++i) {
    out += fmt::format("<rect x='{:.1f}' y='{:.1f}' width='4.2' height='14' fill='{}'/>\n",
                       right + 4 * i, y + 10, colour(i / 60.0));
  }
  for (int i = 0; i <= 2; ++i) {
    out += label(right + 122 * i, y + 40,
                 i == 0 ? "0" : bytes_text(static_cast<double>(matrix.most) * i / 2),
                 i == 0   ? "start"
                 : i == 1 ? "middle"
                          : "end");
  }
  out +=
      fmt::format("<rect x='{}' y='{}' width='14' height='14' class='ground'/>\n", right, y + 52);
  out += label(right + 22, y + 64, "nothing");
  y += 92;
  if (has_domains) {
    out += fmt::format(
        "<rect x='{0}' y='{1}' width='14' height='8' class='domain0'/><rect x='{2}' y='{1}' "
        "width='14' height='8' class='domain1'/>\n",
        right, y - 8, right + 14);
    out += label(right + 36, y, "domains: ranks joined by fast links");
    y += 28;
  } else if (matrix.senders.domain_count > 1 || matrix.receivers.domain_count > 1) {
    out += label(right, y, "a cell holds ranks of several domains");
    y += 28;
  }
  y += 8;
  std::pair<char const*, std::string> const facts[] = {
      {"moved", bytes_text(study.plan.bytes_moved)},
      {"minimum", study.bytes_minimum ? bytes_text(*study.bytes_minimum) : "not known"},
      {"already there", bytes_text(study.plan.bytes_local)},
      {"over slow links", bytes_text(study.prediction.bytes_slow_link)},
      {"sent, most over mean", fmt::format("{:.3f}", study.prediction.send_max_over_mean)},
      {"received, most over mean", fmt::format("{:.3f}", study.prediction.receive_max_over_mean)},
      {"predicted", seconds_text(study.prediction.seconds)},
      {"proof", shortened(study.proof, 24)}};
  for (auto const& [what, value] : facts) {
    out += label(right, y, what) + label(right + 200, y, value);
    y += 20;
  }
  top = std::max(top + matrix_height, y) + 30;
  return out;
}

/// A step of 1, 2 or 5 times a power of ten that cuts `range` into at most `most` parts.
double nice_step(double range, int most) {
  double step = 1e-9;
  for (int i = 0; range / step > most; ++i) {
    step *= i % 3 == 1 ? 2.5 : 2.0;
  }
  return step;
}

std::string lane(std::vector<Bar> const& bars, char const* kind, char const* doing, double y,
                 double height, double left, double scale) {
  std::string out;
  for (Bar const& bar : bars) {
    double const wide = std::max((bar.end - bar.begin) * scale, 0.6);
    // A hair between neighbours where there is room for it.
    out += fmt::format(
        "<rect x='{:.2f}' y='{:.1f}' width='{:.2f}' height='{:.1f}' class='{}{}'><title>{} {} in "
        "{} bucket{}{}, {} to {}</title></rect>\n",
        left + bar.begin * scale, y, wide > 4 ? wide - 0.7 : wide, height, kind,
        bar.slow ? " slow" : "", doing, bytes_text(bar.bytes), bar.buckets,
        bar.buckets == 1 ? "" : "s", bar.slow ? ", slow link" : "", seconds_text(bar.begin),
        seconds_text(bar.end));
  }
  return out;
}

std::string timeline_panel(Study const& study, double& top) {
  Timeline const& timeline = study.timeline;
  constexpr double lane_height = 10;
  constexpr double row_height = 30;
  double const left = margin + 240;
  double const plot = width - margin - left;
  double const seconds = std::max(timeline.seconds, study.prediction.seconds);
  double const scale = seconds > 0 ? plot / (seconds * 1.02) : 0;
  std::string out = label(margin, top + 18, "When: buckets by the cost model", "start", "title");
  std::string const which =
      static_cast<int>(timeline.rows.size()) < timeline.ranks
          ? fmt::format("{} of {} ranks: the slowest, the median, others at equal distances",
                        timeline.rows.size(), timeline.ranks)
          : fmt::format("all {} ranks that send or receive", timeline.ranks);
  out += label(margin, top + 40, which);
  // The key.
  double x = margin;
  bool const has_slow = study.prediction.bytes_slow_link > 0;
  for (auto const& [kind, words] :
       {std::pair{"send", "sends"}, std::pair{"send slow", "sends over a slow link"},
        std::pair{"receive", "receives"}, std::pair{"receive slow", "receives over a slow link"}}) {
    if (!has_slow && std::string_view(kind).ends_with("slow")) {
      continue;
    }
    out +=
        fmt::format("<rect x='{}' y='{}' width='22' height='10' class='{}'/>\n", x, top + 54, kind);
    out += label(x + 30, top + 64, words);
    x += 60 + 7.2 * static_cast<double>(std::string_view(words).size());
  }
  top += 100;
  double const bottom = top + row_height * static_cast<double>(timeline.rows.size());
  if (seconds > 0) {
    double const step = nice_step(seconds, 8);
    for (int i = 0; i * step <= seconds * 1.02; ++i) {
      out += fmt::format("<line x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}' class='grid'/>\n",
                         left + i * step * scale, top, bottom + 4);
      out += label(left + i * step * scale, bottom + 20, seconds_text(i * step), "middle");
    }
  }
  auto const& sources = study.source_ranks();
  auto const& destinations = study.destination_ranks();
  for (std::size_t r = 0; r < timeline.rows.size(); ++r) {
    TimelineRow const& row = timeline.rows[r];
    double const y = top + row_height * static_cast<double>(r) + 4;
    bool const is_source = std::find(sources.begin(), sources.end(), row.rank) != sources.end();
    bool const is_destination =
        std::find(destinations.begin(), destinations.end(), row.rank) != destinations.end();
    if (r % 2 == 0) {
      out += fmt::format("<rect x='{}' y='{}' width='{}' height='{}' class='band'/>\n", margin,
                         y - 4, width - 2 * margin, row_height);
    }
    out += label(margin + 6, y + 15, fmt::format("rank {}", row.rank));
    std::string const role = is_source && is_destination ? "both sides"
                             : is_source                 ? "source"
                                                         : "destination";
    out +=
        label(left - 10, y + 15, row.note.empty() ? role : role + ", " + row.note, "end", "note");
    out += lane(row.sends, "send", "sends", y, lane_height, left, scale);
    out += lane(row.receives, "receive", "receives", y + lane_height + 2, lane_height, left, scale);
  }
  if (study.prediction.seconds > 0) {
    double const at = left + study.prediction.seconds * scale;
    out += fmt::format("<line x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}' class='bound'/>\n", at,
                       top - 4, bottom + 4);
    bool const flip = at > width - margin - 260;
    out += label(at + (flip ? -6 : 6), top - 8,
                 fmt::format("predicted {}", seconds_text(study.prediction.seconds)),
                 flip ? "end" : "start", "bound");
  }
  top = bottom + 50;
  return out;
}

}  // namespace

std::string svg_picture(Study const& study) {
  double top = 30;
  std::string body = label(margin, top + 8, shortened(study.title, 80), "start", "head");
  auto const side = [](std::string const& layout, std::vector<int> const& ranks) {
    return fmt::format("{}{}{} ranks", layout, layout.empty() ? "" : ", ", ranks.size());
  };
  body += label(margin, top + 34,
                fmt::format("{}  \u2192  {};  route {}", side(study.source, study.source_ranks()),
                            side(study.destination, study.destination_ranks()),
                            rlhf::plan::to_string(study.plan.route)));
  top += 60;
  if (study.plan.moves.empty()) {
    body += label(margin, top + 18, "Nothing moves", "start", "title");
    body += label(margin, top + 42,
                  fmt::format("Every rank of the destination has its bytes already: {} are copied "
                              "where they are.",
                              bytes_text(study.plan.bytes_local)));
    top += 80;
  } else {
    body += matrix_panel(study, top);
    body += timeline_panel(study, top);
  }
  return fmt::format(
             "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1:.0f}' viewBox='0 0 "
             "{0} {1:.0f}' font-family='Helvetica, Arial, sans-serif' font-size='13' "
             "fill='#222'>\n<style>.head{{font-size:22px;font-weight:bold}}.title{{font-size:17px;"
             "font-weight:bold}}.axis{{font-weight:bold}}.note{{fill:#666}}.ground{{fill:#f4f4f4}}"
             ".frame{{fill:none;stroke:#888}}.cell{{stroke:white;stroke-opacity:.6}}.border{{"
             "stroke:#555;stroke-width:1}}.domain0{{fill:#9a9a9a}}.domain1{{fill:#d0c08a}}.grid{{"
             "stroke:#ddd}}.band{{fill:#f7f7f7}}.send{{fill:#6baed6}}.send.slow{{fill:#08519c}}"
             ".receive{{fill:#fdae6b}}.receive.slow{{fill:#c2500a}}line.bound{{stroke:#a31515;"
             "stroke-dasharray:4 3}}text.bound{{fill:#a31515}}</style>\n<rect width='{0}' "
             "height='{1:.0f}' fill='white'/>\n",
             width, top) +
         body + "</svg>\n";
}

std::string html_page(Study const& study) {
  std::string table;
  for (Row const& row : rows_of(study)) {
    table +=
        row.heading
            ? fmt::format("<tr><th colspan='3'>{}</th></tr>\n", escaped(row.what))
            : fmt::format("<tr><td>{}</td><td{}>{}</td>{}</tr>\n", escaped(row.what),
                          row.exact.empty() ? " colspan='2'" : "", escaped(row.value),
                          row.exact.empty() ? "" : fmt::format("<td>{}</td>", escaped(row.exact)));
  }
  return fmt::format(
             "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>{}</title>\n"
             "<style>body{{font:14px Helvetica,Arial,sans-serif;color:#222;margin:24px auto;"
             "max-width:1200px}}table{{border-collapse:collapse;margin:0 0 24px 40px}}td{{padding:"
             "2px 24px 2px 0;vertical-align:top}}th{{text-align:left;padding:12px 0 2px}}"
             "td:first-child{{color:#666}}svg{{max-width:100%;height:auto}}rect:hover{{stroke:"
             "#a31515}}</style></head>\n<body>\n",
             escaped(study.title)) +
         svg_picture(study) + "<table>\n" + table + "</table>\n</body></html>\n";
}

}  // namespace planner
