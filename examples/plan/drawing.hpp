/// @file
/// A plan as a picture: who sends how much to whom, and when.
#pragma once

#include <string>

#include "study.hpp"

namespace planner {

/// SVG, readable for any number of ranks: neighbours share a cell where there are many.
[[nodiscard]] std::string svg_picture(Study const& study);

/// The picture in a page, with the table of totals; hovering shows numbers.
[[nodiscard]] std::string html_page(Study const& study);

}  // namespace planner
