#include "apps/report/html_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace poise {
namespace {

const char* kPageStyle = R"(:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,"DejaVu Sans",sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e4e4e4}}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid var(--grid)}
table{border-collapse:collapse;font-size:.9rem}td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}
th{font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums}
figure{margin:1.6rem 0;break-inside:avoid}figcaption{font-size:.9rem;margin-top:.4rem}
.grids{display:flex;flex-wrap:wrap;gap:1rem}.grids figure{flex:1 1 14rem;margin:0}
img{width:100%;height:auto;image-rendering:pixelated}code{font-size:.92em}summary{cursor:pointer}
)";

// The mean over about a fiftieth of the points on either side.
ChartSeries moving_mean(const Points& points, const std::string& name, int colour) {
  ChartSeries mean{.name = name, .points = points, .colour = colour};
  const size_t n = points.size(), reach = std::max<size_t>(1, n / 50);
  for (size_t i = 0; i < n; ++i) {
    const size_t first = i < reach ? 0 : i - reach, last = std::min(n - 1, i + reach);
    double sum = 0, count = 0;
    for (size_t k = first; k <= last; ++k) {
      if (!std::isfinite(points[k].second)) continue;
      sum += points[k].second;
      ++count;
    }
    mean.points[i].second = count > 0 ? sum / count : NAN;
  }
  return mean;
}

}  // namespace

std::string html_page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"/>\n<title>{}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n"
      "{}</body>\n</html>\n",
      xml_escaped(title), chart_style(), kPageStyle, body);
}

std::string html_figure(const std::string& picture, size_t number, const std::string& caption) {
  return fmt::format("<figure>\n{}<figcaption><b>Figure {}.</b> {}</figcaption>\n</figure>\n", picture, number,
                     xml_escaped(caption));
}

void add_with_mean(LineChart& chart, const Points& points, const std::string& name, int colour) {
  if (points.empty()) return;
  if (points.size() < 40) {
    chart.series.push_back({.name = name, .points = points, .colour = colour});
    return;
  }
  chart.series.push_back({.points = points, .colour = colour, .faint = true});
  chart.series.push_back(moving_mean(points, name, colour));
}

std::string metric_caption(const std::string& name) {
  if (name == "swd") {
    return "sliced Wasserstein distance of pixels to the real images, of the averaged weights; comparable only between "
           "runs of Poise with the same data; not FID";
  }
  if (name.starts_with("frechet-random")) {
    return "Fréchet distance of fixed random features, of the averaged weights; comparable only between runs of Poise "
           "with the same data and number of images; not FID";
  }
  return "of the averaged weights; metrics.jsonl has the network, the reference and the numbers of images";
}

}  // namespace poise
