/// @file
/// A picture of a run as SVG: reward and accuracy, divergence, the critic's loss.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "../grpo/curves.hpp"

namespace ppo {

/// What is known after an episode.
struct Point {
  double episode = 0;
  std::optional<double> reward;
  std::optional<double> right;
  std::optional<double> accuracy;
  std::optional<double> kl;
  std::optional<double> value_loss;
};

namespace detail {

template <class Value>
[[nodiscard]] std::string curve(grpo::detail::Panel const& panel, std::span<Point const> points,
                                Value value, char const* kind) {
  std::string path;
  for (Point const& point : points) {
    if (std::optional<double> const v = point.*value) {
      path +=
          fmt::format("{:.1f},{:.1f} ", panel.x(point.episode), panel.y(std::min(*v, panel.y_max)));
    }
  }
  return fmt::format("<polyline points='{}' class='{}'/>\n", path, kind);
}

/// The largest value, with some room above it.
template <class Value>
[[nodiscard]] double top_of(std::span<Point const> points, Value value) {
  double top = 1e-3;
  for (Point const& point : points) {
    top = std::max(top, (point.*value).value_or(0) * 1.1);
  }
  return top;
}

}  // namespace detail

[[nodiscard]] inline std::string curves_svg(std::span<Point const> points) {
  using grpo::detail::axes;
  using grpo::detail::Panel;
  double const episodes = points.empty() ? 1 : std::max(1.0, points.back().episode);
  Panel const learning{70, 60, 640, 260, episodes, 1.0};
  Panel const divergence{70, 390, 290, 130, episodes, detail::top_of(points, &Point::kl)};
  Panel const critic{420, 390, 290, 130, episodes, detail::top_of(points, &Point::value_loss)};
  return "<svg xmlns='http://www.w3.org/2000/svg' width='760' height='580' "
         "font-family='sans-serif' font-size='13'>\n"
         "<style>.grid{stroke:#ddd}.title{font-size:15px;font-weight:bold}"
         "polyline{fill:none;stroke-width:2}.reward{stroke:#7aa6d6}.right{stroke:#7fb77e}"
         ".accuracy{stroke:#c0392b;stroke-width:3}.other{stroke:#555}</style>\n"
         "<rect width='760' height='580' fill='white'/>\n" +
         axes(learning, "Reward of sampled answers, accuracy on held-out prompts", true) +
         detail::curve(learning, points, &Point::reward, "reward") +
         detail::curve(learning, points, &Point::right, "right") +
         detail::curve(learning, points, &Point::accuracy, "accuracy") +
         "<text x='470' y='272' fill='#7aa6d6'>learned reward, sampled</text>"
         "<text x='470' y='290' fill='#7fb77e'>right by the rule, sampled</text>"
         "<text x='470' y='308' fill='#c0392b'>accuracy, held out, greedy</text>\n" +
         axes(divergence, "KL from the reference, per token", false) +
         detail::curve(divergence, points, &Point::kl, "other") +
         axes(critic, "Loss of the critic, per token", false) +
         detail::curve(critic, points, &Point::value_loss, "other") +
         "<text x='390' y='568' text-anchor='middle'>episode</text>\n</svg>\n";
}

}  // namespace ppo
