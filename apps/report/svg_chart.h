// Charts as inline SVG for the report: lines over iterations, and a heat map of layers over iterations. Colours come
// from the page's style sheet (chart_style), so that one drawing works in light and dark mode. Every series also has
// its own dash pattern, so that colour is never the only distinction. Names may contain anything; they are escaped.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace poise {

std::string xml_escaped(const std::string& text);  // & < > " ' and control characters

struct ChartSeries {
  std::string name;                               // in the legend; "": not in it
  std::vector<std::pair<double, double>> points;  // (x, y); a y that is not finite interrupts the line
  int colour = 0;                                 // 0 to 4
  bool faint = false;                             // thin and pale: raw values behind their mean
  bool steps = false;                             // a value holds until the next point
  std::vector<std::pair<double, double>> spread;  // none, or (low, high) around each point: a pale area
};

struct LineChart {
  std::string title;  // for screen readers; the page has the caption
  std::string x_label, y_label;
  double x_end = 0;  // the x axis ends here, or at a later last point; aligns the charts of a run
  std::vector<ChartSeries> series;
  struct Band {
    double low = 0, high = 0;
    std::string name;
  };
  std::optional<Band> band;
  std::optional<std::pair<double, double>> y_range;  // default: the range of the points; points outside are clipped
  bool y_from_zero = false;
};
std::string svg_line_chart(const LineChart& chart);

// Labelled points in groups, each with its own colour and shape, and a line through the points of `front`.
struct ScatterChart {
  std::string title, x_label, y_label;
  struct Point {
    double x = 0, y = 0;
    std::string label;
  };
  struct Group {
    std::string name;
    std::vector<Point> points;
  };
  std::vector<Group> groups;
  std::string front_name;
  std::vector<std::pair<double, double>> front;  // ascending in x
};
std::string svg_scatter_chart(const ScatterChart& chart);

// values[row][i] applies from starts[i] to starts[i + 1], the last one to `end`. The colour scale is logarithmic (so
// that densities of 0.04 and 0.08 differ), from the smallest value to 1.
struct HeatMap {
  std::string title, x_label, value_label;
  std::vector<std::string> rows;
  std::vector<double> starts;
  double end = 0;
  std::vector<std::vector<double>> values;
};
std::string svg_heat_map(const HeatMap& map);

// Horizontal bars under headings. Lengths are relative to the largest bar of the group.
struct BarChart {
  struct Bar {
    std::string name, text;  // left and right of the bar
    double value = 0;
    int colour = 0;  // 0 to 4
  };
  std::string title;
  std::vector<std::pair<std::string, std::vector<Bar>>> groups;
};
std::string svg_bar_chart(const BarChart& chart);

// CSS for the charts, in light and dark mode.
std::string chart_style();
// A chart as a file of its own.
std::string standalone_svg(const std::string& chart);

// About `count` round numbers that span [low, high]: {0, 20, 40}.
std::vector<double> nice_ticks(double low, double high, int count);
std::string tick_text(double value);  // "20k", "0.25", "-1.5"

}  // namespace poise
