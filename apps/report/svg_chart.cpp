#include "apps/report/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

namespace poise {
namespace {

constexpr double kWidth = 760, kLeft = 64, kRight = 16, kTop = 30, kBottom = 44;
constexpr double kLineHeight = 280, kRowHeight = 17;
constexpr size_t kMostPoints = 800;   // per series: more than the pixels can show
constexpr size_t kMostColumns = 150;  // in a heat map
constexpr std::array<const char*, 5> kDashes = {"", "7 3", "2 3", "9 3 2 3", "4 2"};

struct Range {
  double low = INFINITY, high = -INFINITY;
  void include(double x) {
    if (!std::isfinite(x)) return;
    low = std::min(low, x);
    high = std::max(high, x);
  }
  bool empty() const { return !(low <= high); }
};

struct Frame {
  Range x, y;
  double height = kLineHeight, top = kTop;
  double left = kLeft, right = kWidth - kRight;
  double px(double value) const { return left + (value - x.low) / (x.high - x.low) * (right - left); }
  double py(double value) const {
    return height - kBottom - (value - y.low) / (y.high - y.low) * (height - top - kBottom);
  }
};

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, xml_escaped(text));
}

std::string open_svg(const std::string& title, double height) {
  return fmt::format(
      "<svg class=\"chart\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n<title>{}</title>\n", kWidth,
      height, xml_escaped(title), xml_escaped(title));
}

std::string x_axis(const Frame& f, const std::string& label) {
  const double bottom = f.height - kBottom;
  std::string svg = fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", f.left, bottom, f.right);
  for (const double tick : nice_ticks(f.x.low, f.x.high, 8)) {
    svg += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}v4\"/>\n", f.px(tick), bottom);
    svg += text_at(f.px(tick), bottom + 16, "middle", tick_text(tick));
  }
  return svg + text_at((f.left + f.right) / 2, f.height - 8, "middle", label);
}

std::string y_axis(const Frame& f, const std::string& label) {
  std::string svg;
  for (const double tick : nice_ticks(f.y.low, f.y.high, 5)) {
    svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", f.left, f.py(tick), f.right);
    svg += text_at(f.left - 6, f.py(tick) + 4, "end", tick_text(tick));
  }
  const double middle = (f.top + f.height - kBottom) / 2;
  return svg + fmt::format("<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                           middle, xml_escaped(label));
}

// Keeps the smallest and largest point of each of a few hundred stretches, so that a thinned line keeps its spikes.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& points) {
  if (points.size() <= kMostPoints) return points;
  std::vector<std::pair<double, double>> kept;
  const size_t stretches = kMostPoints / 2;
  for (size_t i = 0; i < stretches; ++i) {
    const auto first = points.begin() + static_cast<std::ptrdiff_t>(i * points.size() / stretches);
    const auto last = points.begin() + static_cast<std::ptrdiff_t>((i + 1) * points.size() / stretches);
    auto [low, high] =
        std::minmax_element(first, last, [](const auto& a, const auto& b) { return a.second < b.second; });
    if (high < low) std::swap(low, high);
    kept.push_back(*low);
    if (high != low) kept.push_back(*high);
  }
  return kept;
}

std::string path_of(const ChartSeries& series, const Frame& f) {
  std::string d;
  bool drawing = false;
  for (const auto& [x, y] : series.steps ? series.points : thinned(series.points)) {
    if (!std::isfinite(y)) {
      drawing = false;
      continue;
    }
    if (drawing && series.steps) d += fmt::format("H{:.1f}", f.px(x));
    d += fmt::format("{}{:.1f} {:.1f}", drawing ? 'L' : 'M', f.px(x), f.py(y));
    drawing = true;
  }
  if (d.empty()) return "";
  if (series.points.size() == 1) d += "h0.1";  // drawn as a dot by the line cap
  const char* dash = series.faint ? "" : kDashes[static_cast<size_t>(series.colour) % kDashes.size()];
  return fmt::format("<path class=\"line c{}{}\"{} d=\"{}\"/>\n", series.colour, series.faint ? " faint" : "",
                     *dash ? fmt::format(" stroke-dasharray=\"{}\"", dash) : std::string(), d);
}

// The pale area between the low and high ends of a series' spread.
std::string spread_of(const ChartSeries& series, const Frame& f) {
  const size_t n = std::min(series.spread.size(), series.points.size()), step = n / kMostPoints + 1;
  std::string there, back;
  for (size_t i = 0; i < n; i += step) {
    const auto& [low, high] = series.spread[i];
    if (!std::isfinite(low) || !std::isfinite(high)) continue;
    const double x = f.px(series.points[i].first);
    there += fmt::format("{}{:.1f} {:.1f}", there.empty() ? 'M' : 'L', x, f.py(high));
    back = fmt::format("L{:.1f} {:.1f}", x, f.py(low)) + back;
  }
  if (there.empty()) return "";
  return fmt::format("<path class=\"spread f{}\" d=\"{}{}Z\"/>\n", series.colour, there, back);
}

std::string line_mark(int colour, bool faint, double x, double y) {
  const char* dash = faint ? "" : kDashes[static_cast<size_t>(colour) % kDashes.size()];
  return fmt::format("<path class=\"line c{}{}\"{} d=\"M{:.1f} {:.1f}h26\"/>\n", colour, faint ? " faint" : "",
                     *dash ? fmt::format(" stroke-dasharray=\"{}\"", dash) : std::string(), x, y);
}

// A filled shape, a different one for each colour.
std::string point_mark(size_t colour, double x, double y) {
  static constexpr const char* kShapes[] = {"m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "m-4-4h8v8h-8z", "m0-5l5 9h-10z",
                                            "m0-5.5l5.5 5.5-5.5 5.5-5.5-5.5z", "m0 5l5-9h-10z"};
  return fmt::format("<path class=\"f{}\" d=\"M{:.1f} {:.1f}{}z\"/>\n", colour % 5, x, y, kShapes[colour % 5]);
}

// Names above the plot, each next to a mark of width 26 that `mark` draws at (x, y), in as many rows as needed. The
// frame is moved below them.
struct LegendEntry {
  std::string name;
  std::function<std::string(double x, double y)> mark;
};
std::string legend(const std::vector<LegendEntry>& entries, Frame& f) {
  constexpr double kRow = 18;
  std::string svg;
  double x = kLeft, y = 12;
  for (const LegendEntry& entry : entries) {
    const double width = 52 + 6.6 * static_cast<double>(entry.name.size());
    if (x > kLeft && x + width > kWidth) {
      x = kLeft;
      y += kRow;
    }
    svg += entry.mark(x, y) + text_at(x + 32, y + 4, "start", entry.name);
    x += width;
  }
  f.top += y - 12;
  f.height += y - 12;
  return svg;
}

std::string line_legend(const LineChart& chart, Frame& f) {
  std::vector<LegendEntry> entries;
  for (const ChartSeries& series : chart.series) {
    if (series.name.empty()) continue;
    entries.push_back(
        {series.name, [&series](double x, double y) { return line_mark(series.colour, series.faint, x, y); }});
  }
  if (chart.band) {
    entries.push_back({chart.band->name, [](double x, double y) {
                         return fmt::format(
                             "<rect class=\"band\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"26\" height=\"12\"/>\n", x, y - 6);
                       }});
  }
  return legend(entries, f);
}

// Clips a drawing to the frame. Unlike a clipPath, a nested svg needs no id that is unique on the page.
std::string clipped(const std::string& drawing, const Frame& f) {
  return fmt::format(
      "<svg x=\"{0:.1f}\" y=\"{1:.1f}\" width=\"{2:.1f}\" height=\"{3:.1f}\" viewBox=\"{0:.1f} {1:.1f} "
      "{2:.1f} {3:.1f}\">\n{4}</svg>\n",
      f.left, f.top - 2, f.right - f.left, f.height - f.top - kBottom + 4, drawing);
}

// viridis at nine points: equal steps look equal, including in grey and to colour-blind readers.
std::string viridis(double t) {
  static constexpr int kStops[9][3] = {{68, 1, 84},    {71, 44, 122}, {59, 81, 139},  {44, 113, 142}, {33, 144, 141},
                                       {39, 173, 129}, {92, 200, 99}, {170, 220, 50}, {253, 231, 37}};
  const double at = std::clamp(t, 0.0, 1.0) * 8;
  const int i = std::min(7, static_cast<int>(at));
  const auto mix = [&](int channel) {
    return static_cast<int>(std::lround(kStops[i][channel] + (at - i) * (kStops[i + 1][channel] - kStops[i][channel])));
  };
  return fmt::format("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2));
}

// At most kMostColumns columns, evenly spaced in time, each with the values that apply at its beginning.
HeatMap thinned(const HeatMap& map) {
  if (map.starts.size() <= kMostColumns) return map;
  HeatMap result = map;
  result.starts.clear();
  for (auto& row : result.values) row.clear();
  for (size_t c = 0; c < kMostColumns; ++c) {
    const double time = map.starts.front() + (map.end - map.starts.front()) * static_cast<double>(c) / kMostColumns;
    const size_t i =
        static_cast<size_t>(std::upper_bound(map.starts.begin(), map.starts.end(), time) - map.starts.begin()) - 1;
    result.starts.push_back(time);
    for (size_t r = 0; r < map.values.size(); ++r) result.values[r].push_back(map.values[r][i]);
  }
  return result;
}

}  // namespace

std::string xml_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
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
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return out;
}

std::vector<double> nice_ticks(double low, double high, int count) {
  if (!(low < high)) return {low};
  const double raw = (high - low) / count, power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= 0.9 * raw) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::ceil(low / step - 1e-9);
  for (int k = 0; k <= 2 * count; ++k) {  // bounded: if `first` is huge, first + 1 may equal first
    const double tick = (first + k) * step;
    if (tick <= high + 1e-9 * step) ticks.push_back(tick + 0.0);
  }
  return ticks;
}

std::string tick_text(double value) {
  const double size = std::abs(value);
  if (size >= 1e6 && size < 1e9) return fmt::format("{:.4g}M", value / 1e6);
  if (size >= 1e4 && size < 1e6) return fmt::format("{:.4g}k", value / 1e3);
  return fmt::format("{:.4g}", size < 1e-12 ? 0.0 : value);
}

std::string svg_line_chart(const LineChart& chart) {
  Frame f;
  f.x.include(0);
  f.x.include(chart.x_end);
  for (const ChartSeries& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      f.x.include(x);
      f.y.include(y);
    }
    for (const auto& [low, high] : series.spread) {
      f.y.include(low);
      f.y.include(high);
    }
  }
  if (chart.band) {
    f.y.include(chart.band->low);
    f.y.include(chart.band->high);
  }
  if (chart.y_from_zero) f.y.include(0);
  if (chart.y_range) f.y = {chart.y_range->first, chart.y_range->second};
  const std::string names = line_legend(chart, f);
  std::string svg = open_svg(chart.title, f.height);
  if (f.x.empty() || f.y.empty()) {
    return svg + text_at(kWidth / 2, f.height / 2, "middle", "no finite values") + "</svg>\n";
  }
  if (f.x.low == f.x.high) f.x.high = f.x.low + 1;
  const double margin = f.y.low == f.y.high ? std::max(1e-3, std::abs(f.y.low) / 10) : (f.y.high - f.y.low) / 20;
  if (!chart.y_range) {
    f.y.high += margin;
    if (!(chart.y_from_zero && f.y.low == 0)) f.y.low -= margin;
  }
  svg += names;
  if (chart.band) {
    const double top = std::max(f.top, f.py(chart.band->high)),
                 low = std::min(f.height - kBottom, f.py(chart.band->low));
    svg += fmt::format("<rect class=\"band\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n", f.left,
                       top, f.right - f.left, std::max(0.0, low - top));
  }
  svg += y_axis(f, chart.y_label) + x_axis(f, chart.x_label);
  std::string lines;
  for (const ChartSeries& series : chart.series) lines += spread_of(series, f);
  for (const ChartSeries& series : chart.series) lines += path_of(series, f);
  return svg + clipped(lines, f) + "</svg>\n";
}

std::string svg_scatter_chart(const ScatterChart& chart) {
  Frame f;
  std::vector<LegendEntry> entries;
  f.x.include(0);
  for (size_t g = 0; g < chart.groups.size(); ++g) {
    for (const ScatterChart::Point& point : chart.groups[g].points) {
      f.x.include(point.x);
      f.y.include(point.y);
    }
    entries.push_back({chart.groups[g].name, [g](double x, double y) { return point_mark(g, x + 13, y); }});
  }
  if (!chart.front.empty()) {
    entries.push_back({chart.front_name, [](double x, double y) {
                         return fmt::format("<path class=\"front\" d=\"M{:.1f} {:.1f}h26\"/>\n", x, y);
                       }});
  }
  const std::string names = legend(entries, f);
  std::string svg = open_svg(chart.title, f.height);
  if (f.y.empty()) return svg + text_at(kWidth / 2, f.height / 2, "middle", "no finite values") + "</svg>\n";
  const double margin = f.y.low == f.y.high ? std::max(1e-3, std::abs(f.y.low) / 10) : (f.y.high - f.y.low) / 15;
  f.y.low -= margin;
  f.y.high += margin;
  f.x.high += (f.x.high - f.x.low) / 15;
  svg += names + y_axis(f, chart.y_label) + x_axis(f, chart.x_label);
  std::string drawing;
  for (const auto& [x, y] : chart.front) {
    drawing += fmt::format("{}{:.1f} {:.1f}", drawing.empty() ? "<path class=\"front\" d=\"M" : "L", f.px(x), f.py(y));
  }
  if (!drawing.empty()) drawing += "\"/>\n";
  for (size_t g = 0; g < chart.groups.size(); ++g) {
    for (const ScatterChart::Point& point : chart.groups[g].points) {
      drawing += point_mark(g, f.px(point.x), f.py(point.y));
      drawing += text_at(f.px(point.x) + 8, f.py(point.y) + 4, "start", point.label);
    }
  }
  return svg + clipped(drawing, f) + "</svg>\n";
}

std::string svg_heat_map(const HeatMap& whole) {
  const HeatMap map = thinned(whole);
  size_t longest = 0;
  for (const std::string& row : map.rows) longest = std::max(longest, row.size());
  Frame f;
  f.height = kTop + kBottom + kRowHeight * static_cast<double>(map.rows.size());
  f.left = 16 + 6.8 * static_cast<double>(longest);
  f.right = kWidth - 128;
  std::string svg = open_svg(map.title, f.height);
  Range values;
  for (const auto& row : map.values)
    for (const double value : row)
      if (value > 0) values.include(value);
  if (map.starts.empty() || values.empty()) {
    return svg + text_at(kWidth / 2, f.height / 2, "middle", "no values") + "</svg>\n";
  }
  f.x = {map.starts.front(), std::max(map.end, map.starts.back())};
  if (f.x.low == f.x.high) f.x.high = f.x.low + 1;
  const double least = std::min(values.low, 0.5);
  const auto colour = [&](double value) { return viridis(value > 0 ? 1 - std::log(value) / std::log(least) : 0); };

  for (size_t r = 0; r < map.rows.size(); ++r) {
    const double y = kTop + kRowHeight * static_cast<double>(r);
    svg += text_at(f.left - 6, y + 12.5, "end", map.rows[r]);
    for (size_t c = 0; c < map.starts.size(); ++c) {
      const double end = c + 1 < map.starts.size() ? map.starts[c + 1] : f.x.high;
      // Slightly wider, so that no gaps show between neighbours.
      svg += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
                         f.px(map.starts[c]), y, f.px(end) - f.px(map.starts[c]) + 0.3, kRowHeight - 1,
                         colour(map.values[r][c]));
    }
    const auto& row = map.values[r];
    const std::string first = fmt::format("{:.2g}", row.front()), last = fmt::format("{:.2g}", row.back());
    svg += text_at(f.right + 8, y + 12.5, "start", first == last ? first : first + " \xe2\x86\x92 " + last);
  }
  svg += x_axis(f, map.x_label);
  // The colour bar, above the map.
  const double bar = 160, x = f.left;
  for (int i = 0; i < 40; ++i) {
    svg += fmt::format("<rect x=\"{:.1f}\" y=\"8\" width=\"{:.1f}\" height=\"10\" fill=\"{}\"/>\n", x + i * bar / 40,
                       bar / 40 + 0.3, viridis((i + 0.5) / 40));
  }
  svg += text_at(x - 6, 17, "end", fmt::format("{:.2g}", least));
  svg += text_at(x + bar + 6, 17, "start", "1   " + map.value_label);
  svg += text_at(f.right + 8, 17, "start", "first \xe2\x86\x92 last");
  return svg + "</svg>\n";
}

std::string svg_bar_chart(const BarChart& chart) {
  constexpr double kHeading = 24, kBar = 20, kLongest = 480, kStart = 110;
  double y = 0;
  std::string bars;
  for (const auto& [heading, group] : chart.groups) {
    bars += text_at(0, y + 16, "start", heading);
    y += kHeading;
    double largest = 0;
    for (const BarChart::Bar& bar : group) largest = std::max(largest, bar.value);
    for (const BarChart::Bar& bar : group) {
      const double length = largest > 0 && bar.value > 0 ? bar.value / largest * kLongest : 0;
      bars += text_at(kStart - 8, y + 13, "end", bar.name);
      bars += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" style=\"fill:var(--c{})\"/>\n", kStart, y,
          length, kBar - 4, bar.colour);
      bars += text_at(kStart + length + 8, y + 13, "start", bar.text);
      y += kBar;
    }
    y += 6;
  }
  return open_svg(chart.title, y) + bars + "</svg>\n";
}

std::string chart_style() {
  // Okabe and Ito's colours, lightened for dark pages.
  return R"(:root{--c0:#0072b2;--c1:#d55e00;--c2:#007a5a;--c3:#a3477f;--c4:#6b6b6b;--grid:#dcdcdc;--axis:#555;--band:#e6b80055}
@media(prefers-color-scheme:dark){:root{--c0:#56b4e9;--c1:#f08c3c;--c2:#2fc79b;--c3:#dd9cc4;--c4:#b0b0b0;--grid:#3a3a3a;--axis:#aaa;--band:#e6b80044}}
svg.chart{display:block;width:100%;height:auto}
svg.chart text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:currentColor}
.axis{stroke:var(--axis);fill:none}.grid{stroke:var(--grid);fill:none}.band{fill:var(--band)}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}.faint{stroke-width:1;stroke-opacity:.35}
.spread{fill-opacity:.18}.front{fill:none;stroke:var(--axis);stroke-dasharray:2 3}
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}
)";
}

// The background is part of the drawing, since the surrounding page may have any colour.
std::string standalone_svg(const std::string& chart) {
  const size_t end = chart.find('>');
  return "<svg xmlns=\"http://www.w3.org/2000/svg\"" + chart.substr(4, end - 4) + ">\n<style>\n" + chart_style() +
         "svg{background:#fff;color:#222}@media(prefers-color-scheme:dark){svg{background:#161616;color:#e4e4e4}}\n</"
         "style>" +
         chart.substr(end + 1);
}

}  // namespace poise
