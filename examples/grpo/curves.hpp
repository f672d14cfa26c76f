/// @file
/// A picture of a run as SVG: reward and held-out accuracy above, divergence below.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include <fmt/format.h>

namespace grpo {

/// What is known at one episode.
struct CurvePoint {
  double episode = 0;
  std::optional<double> reward;
  std::optional<double> kl;
  std::optional<double> accuracy;
};

namespace detail {

/// A rectangle of the picture with scales for both axes.
struct Panel {
  double left, top, width, height;
  double x_max, y_max;

  [[nodiscard]] double x(double value) const { return left + value / x_max * width; }
  [[nodiscard]] double y(double value) const { return top + height - value / y_max * height; }
};

/// A step of 1, 2 or 5 times a power of ten that cuts `range` into at most `most` parts.
[[nodiscard]] inline double nice_step(double range, int most) {
  double step = 1e-6;
  for (int i = 0; range / step > most; ++i) {
    step *= i % 3 == 1 ? 2.5 : 2.0;
  }
  return step;
}

[[nodiscard]] inline std::string axes(Panel const& p, std::string_view title, bool percent) {
  std::string out =
      fmt::format("<text x='{}' y='{}' class='title'>{}</text>\n", p.left, p.top - 10, title);
  double const y_step = nice_step(p.y_max, 5);
  for (double v = 0; v <= p.y_max * 1.0001; v += y_step) {
    out += fmt::format(
        "<line x1='{0}' x2='{1}' y1='{2:.1f}' y2='{2:.1f}' class='grid'/><text x='{3}' y='{4:.1f}' "
        "text-anchor='end'>{5}</text>\n",
        p.left, p.left + p.width, p.y(v), p.left - 8, p.y(v) + 4,
        percent ? fmt::format("{:.0f} %", 100 * v) : fmt::format("{:.3g}", v));
  }
  double const x_step = std::max(1.0, nice_step(p.x_max, 8));
  for (double v = 0; v <= p.x_max * 1.0001; v += x_step) {
    out += fmt::format("<text x='{:.1f}' y='{}' text-anchor='middle'>{:.0f}</text>\n", p.x(v),
                       p.top + p.height + 18, v);
  }
  return out;
}

template <class Value>
[[nodiscard]] std::string curve(Panel const& p, std::span<CurvePoint const> points, Value value,
                                char const* kind) {
  std::string path;
  for (CurvePoint const& point : points) {
    if (std::optional<double> const v = value(point)) {
      path += fmt::format("{:.1f},{:.1f} ", p.x(point.episode), p.y(*v));
    }
  }
  return fmt::format("<polyline points='{}' class='{}'/>\n", path, kind);
}

}  // namespace detail

[[nodiscard]] inline std::string curves_svg(std::span<CurvePoint const> points) {
  double episodes = 1;
  double kl = 1e-3;
  for (CurvePoint const& point : points) {
    episodes = std::max(episodes, point.episode);
    kl = std::max(kl, point.kl.value_or(0));
  }
  detail::Panel const learning{70, 60, 640, 260, episodes, 1.0};
  detail::Panel const divergence{70, 390, 640, 130, episodes, kl * 1.1};
  auto const reward = [](CurvePoint const& p) { return p.reward; };
  auto const accuracy = [](CurvePoint const& p) { return p.accuracy; };
  auto const drift = [](CurvePoint const& p) { return p.kl; };
  return "<svg xmlns='http://www.w3.org/2000/svg' width='760' height='580' "
         "font-family='sans-serif' font-size='13'>\n"
         "<style>.grid{stroke:#ddd}.title{font-size:16px;font-weight:bold}"
         "polyline{fill:none;stroke-width:2}.reward{stroke:#7aa6d6}.accuracy{stroke:#c0392b;"
         "stroke-width:3}.kl{stroke:#555}</style>\n"
         "<rect width='760' height='580' fill='white'/>\n" +
         detail::axes(learning, "Reward of sampled answers, accuracy on held-out prompts", true) +
         detail::curve(learning, points, reward, "reward") +
         detail::curve(learning, points, accuracy, "accuracy") +
         "<text x='520' y='290' fill='#7aa6d6'>reward, sampled</text>"
         "<text x='520' y='308' fill='#c0392b'>accuracy, held out, greedy</text>\n" +
         detail::axes(divergence, "KL divergence from the reference, per token", false) +
         detail::curve(divergence, points, drift, "kl") +
         "<text x='390' y='568' text-anchor='middle'>episode</text>\n</svg>\n";
}

}  // namespace grpo
