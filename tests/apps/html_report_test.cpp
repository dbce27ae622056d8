// The report of a run: made only from the files in its directory, intact or damaged, as a self-contained page.
#include "apps/report/html_report.h"

#include <cmath>

#include "apps/report/run_summary.h"
#include "apps/report/svg_chart.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

using test::expect_error;
using test::TemporaryFolder;
using test::write_bytes;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

// Checks that `text` is well-formed XML (one document type, no comments). Returns "", or what is wrong and where.
// Written by hand, because std::regex recurses once per character, which is too deep for a page.
class Checker {
 public:
  explicit Checker(const std::string& text) : text_(text), at_(text.starts_with("<!DOCTYPE html>") ? 15 : 0) {}

  std::string malformation() {
    while (problem_.empty() && at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '<') {
        tag();
      } else if (c == '>') {
        wrong("a bare >");
      } else {
        character();
      }
    }
    if (problem_.empty() && !open_.empty()) wrong("never closed: " + open_.back());
    return problem_;
  }

 private:
  void wrong(const std::string& what) {
    if (problem_.empty()) problem_ = what + " at: " + text_.substr(std::min(at_, text_.size()), 60);
  }
  bool take(const std::string& part) {
    if (text_.compare(at_, part.size(), part) != 0) return false;
    at_ += part.size();
    return true;
  }
  void character() {
    if (text_[at_] != '&') {
      ++at_;
      return;
    }
    for (const char* entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"})
      if (take(entity)) return;
    wrong("a bare &");
  }
  std::string name(const char* letters) {
    const size_t end = std::min(text_.find_first_not_of(letters, at_), text_.size());
    const std::string word = text_.substr(at_, end - at_);
    if (word.empty()) wrong("a name is missing");
    at_ = end;
    return word;
  }
  void tag() {
    const bool closing = take("</");
    if (!closing) take("<");
    const std::string element = name("abcdefghijklmnopqrstuvwxyz0123456789");
    while (problem_.empty() && !closing && take(" ")) {
      name("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
      if (!take("=\"")) wrong("an attribute without value");
      while (problem_.empty() && at_ < text_.size() && text_[at_] != '"') {
        if (text_[at_] == '<') wrong("< in an attribute");
        character();
      }
      if (!take("\"")) wrong("an attribute that does not end");
    }
    const bool empty = !closing && take("/");
    if (!take(">")) wrong("a tag that does not end");
    if (closing) {
      if (open_.empty() || open_.back() != element) return wrong("</" + element + "> closes what is not open");
      open_.pop_back();
    } else if (!empty) {
      open_.push_back(element);
    }
  }

  const std::string& text_;
  size_t at_;
  std::vector<std::string> open_;
  std::string problem_;
};

std::string malformation(const std::string& text) { return Checker(text).malformation(); }

TEST(Report, TheCheckerChecks) {
  EXPECT_EQ(malformation("<!DOCTYPE html><p class=\"a\">x &amp; y<br/></p>"), "");
  for (const char* bad : {"<p>", "<p></b></p>", "</p>", "<p class=a></p>", "a & b", "<p a=\"&x\"/>", "a > b", "<P/>",
                          "<p", "<p a=\"x", "<p a=\"<\"/>", "<>"})
    EXPECT_NE(malformation(bad), "") << bad;
}

constexpr const char* kConfig =
    "# heading\n[model]\nmodel = \"sngan32\"       # preset tiny, line 4\nwidth_g = 8   # command line --width-g\n"
    "[train]\niterations = 3000  # default\nloss = \"hinge\"  # default\n"
    "[sparse]\nband_low = 0.45  # default\nband_high = 0.55  # default\n";

std::string mask_update(int iteration, const char* network, const char* kind, double density) {
  char line[400];
  std::snprintf(line, sizeof line,
                "{\"event\":\"mask_update\",\"iteration\":%d,\"network\":\"%s\",\"kind\":\"%s\",\"dropped\":5,"
                "\"grown\":7,\"alive\":100,\"density\":%g,\"drop_fraction\":0.5,\"balance_ratio\":null,"
                "\"layers\":{\"zeta\":%g,\"block1.conv1\":1.0}}\n",
                iteration, network, kind, density, density / 2);
  return line;
}

// Writes the files of a DDST run, with every key that a report uses.
void fill(const TemporaryFolder& run) {
  std::filesystem::create_directories(run / "samples");
  write_bytes(run / "config.toml", kConfig);
  write_bytes(run / "env.json",
              "{\"schema\":1,\"poise\":\"0.1.0\",\"cpu\":\"some CPU\",\"threads\":2,\"host\":\"mine\"}\n");
  write_bytes(run / "log.txt",
              "2026-01-02T03:04:05Z poise 0.1.0\n2026-01-02T03:05:05Z resumed runs/x at iteration 10\n"
              "2026-01-02T04:04:05Z stopped by SIGTERM after iteration 3000\n");
  std::string train = mask_update(0, "G", "initial", 0.1) + mask_update(0, "D", "initial", 0.1);
  for (int i = 10; i <= 3000; i += 10) {
    char line[600];
    std::snprintf(line, sizeof line,
                  "{\"schema\":1,\"iteration\":%d,\"loss_d\":%g,\"loss_g\":0.5,\"mean_real\":0.2,\"mean_fake\":-0.2,"
                  "\"seconds\":%g,\"it_per_s\":10,\"balance_ratio\":%s,\"balance_ratio_mean\":0.6,"
                  "\"balance_ratio_of_sums\":0.58,\"density_g\":0.1,\"density_d\":%g,\"flops\":%d000000,"
                  "\"executed_flops\":%d00000}\n",
                  i, 1.0 + 0.1 * std::sin(i), i * 0.1,
                  i == 500   ? "1000"
                  : i == 600 ? "\"nan\""
                             : "0.61",
                  0.1 + 0.05 * (i / 1000), i, i);
    train += line;
    if (i % 1000 == 0) train += mask_update(i, "D", "raise", 0.1 + 0.05 * (i / 1000));
    if (i % 500 == 0) train += mask_update(i, "G", "drop_grow", 0.1);
  }
  write_bytes(run / "train.jsonl", train + "{\"iteration\":3010,\"loss_d\":");  // incomplete
  write_bytes(run / "metrics.jsonl",
              "{\"iteration\":0,\"swd\":0.2}\n{\"iteration\":1500,\"swd\":0.1}\n{\"iteration\":3000,\"swd\":0.11}\n");
  for (const char* name : {"fakes_000000", "fakes_001000", "fakes_002000", "fakes_003000", "reals"})
    write_bytes(run / "samples/" + name + ".png", std::string("\x89PNG ") + name);
}

TEST(Report, HasEveryFigureOfASparseRunAndNeedsNothingElse) {
  const TemporaryFolder run;
  fill(run);
  const std::string path = write_html_report(run.path());
  EXPECT_EQ(path, run / "report.html");
  const std::string page = test::read_bytes(path);
  EXPECT_EQ(malformation(page), "");
  for (const char* title :
       {"<title>losses</title>", "<title>mean output of D</title>", "<title>balance ratio</title>",
        "<title>densities</title>", "<title>layer densities of the generator</title>",
        "<title>layer densities of the discriminator</title>", "<title>arithmetic</title>", "<title>swd</title>"}) {
    EXPECT_EQ(count(page, title), 1u) << title;
  }
  EXPECT_EQ(count(page, "<figcaption><b>Figure "), 8u);
  EXPECT_EQ(count(page, "</svg>\n<figcaption>"), 8u);
  // Axis labels with units, the band, the values outside the axis.
  EXPECT_EQ(count(page, ">iteration (generator steps)</text>"), 8u);
  EXPECT_TRUE(contains(page, ">cumulative GFLOP</text>")) << "3e9 at the end";
  EXPECT_TRUE(contains(page, ">band 0.45 to 0.55</text>"));
  EXPECT_TRUE(contains(page, "1 of 899 values are outside the axis")) << "the one of 1000; nan is no value";
  EXPECT_TRUE(contains(page, "discriminator, 3 mask updates"));
  EXPECT_TRUE(contains(page, "generator, 6 mask updates"));
  EXPECT_LT(page.find(">zeta</text>"), page.find(">block1.conv1</text>")) << "layers in the order of the network";
  EXPECT_TRUE(contains(page, ">0.05 \xe2\x86\x92 0.12</text>")) << "zeta in D, first and last";
  // Image grids: first, middle, last, real; each with the bytes of its file.
  EXPECT_EQ(count(page, "src=\"data:image/png;base64,"), 4u);
  EXPECT_TRUE(contains(page, "base64,iVBORyBmYWtlc18wMDAwMDA=\"")) << "0x89 'PNG fakes_000000'";
  for (const char* iteration : {"iteration 0<", "iteration 2,000<", "iteration 3,000<", "real images<"})
    EXPECT_TRUE(contains(page, iteration)) << iteration;
  // Options with origins, and the environment, but not the name of the machine.
  EXPECT_TRUE(contains(page, "<tr><td>width_g</td><td><code>8</code></td><td>command line --width-g</td></tr>"));
  EXPECT_TRUE(contains(page, "some CPU"));
  EXPECT_TRUE(contains(page, "2026-01-02T03:04:05Z"));
  EXPECT_TRUE(contains(page, "1 time<"));
  EXPECT_TRUE(contains(page, "stopped by SIGTERM after iteration 3000"));
  EXPECT_FALSE(contains(page, "mine"));
  EXPECT_TRUE(contains(page, "prefers-color-scheme:dark"));
  // The page is self-contained: no scripts and nothing to fetch.
  EXPECT_EQ(count(page, "src="), 4u);
  for (const char* reference : {"href", "http:", "https:", "url(", "@import", "<script", "<link", "<iframe", "<object"})
    EXPECT_FALSE(contains(page, reference)) << reference;
}

TEST(Report, OfADenseRunHasNoSparseFigures) {
  const TemporaryFolder run;
  write_bytes(run / "config.toml", kConfig);
  write_bytes(run / "train.jsonl", "{\"iteration\":10,\"loss_d\":1.5,\"loss_g\":0.5}\n");
  const std::string page = html_report(read_run(run.path()));
  EXPECT_EQ(malformation(page), "");
  EXPECT_EQ(count(page, "<figcaption><b>Figure "), 1u);
  EXPECT_FALSE(contains(page, "Balance ratio"));
  EXPECT_FALSE(contains(page, "base64"));
}

std::string execution(int iteration, const char* pass, const char* path, const char* speedup) {
  return "{\"event\":\"execution\",\"iteration\":" + std::to_string(iteration) +
         ",\"layer\":\"G.block2.conv1\",\"pass\":\"" + pass + "\",\"execution\":\"" + path +
         "\",\"density\":0.118,\"speedup\":" + speedup + ",\"reason\":\"cell 16x16, so <fast>\"}\n";
}

TEST(Report, ShowsTheLatestExecutionOfEachPass) {
  const TemporaryFolder run;
  write_bytes(run / "config.toml", kConfig);
  write_bytes(run / "train.jsonl", mask_update(0, "G", "initial", 0.1) + execution(0, "forward", "dense", "0.9") +
                                       execution(0, "backward_input", "cusparse", "\"nan\"") +
                                       execution(500, "forward", "block", "4.14"));
  const std::string page = html_report(read_run(run.path()));
  EXPECT_EQ(malformation(page), "");
  EXPECT_TRUE(contains(page, "computed at the end: 1 block, 1 cusparse."));
  EXPECT_EQ(count(page, "<td>G.block2.conv1</td>"), 2u);
  EXPECT_TRUE(contains(page,
                       "<td>forward</td><td>block</td><td>0.118</td><td>4.1x</td><td>cell 16x16, so "
                       "&lt;fast&gt;</td><td>500</td>"));
}

TEST(Report, SaysWhereMasksSaveNoTime) {
  const TemporaryFolder run;
  write_bytes(run / "config.toml", "[sparse]\nexecution = \"auto\"  # default\ncell = \"1x1\"  # default\n");
  write_bytes(run / "train.jsonl", mask_update(0, "G", "initial", 0.1));
  const std::string page = html_report(read_run(run.path()));
  EXPECT_EQ(malformation(page), "");
  EXPECT_TRUE(contains(page, "masked (no speed-up): on a GPU no kernel skips cells of 1x1"));
}

TEST(Report, ReadsWhatThereIs) {
  const TemporaryFolder run;
  expect_error(ErrorKind::checkpoint, {run.path(), "no config.toml", "train_gan"}, [&] { read_run(run.path()); });
  expect_error(ErrorKind::checkpoint, {"/nowhere/run"}, [&] { write_html_report("/nowhere/run"); });
  write_bytes(run / "config.toml", "");
  EXPECT_EQ(malformation(html_report(read_run(run.path()))), "");
  EXPECT_TRUE(contains(html_report(read_run(run.path())), "Nothing was logged yet."));
  // Invalid lines, values of the wrong type, losses that are not finite, updates with different layers.
  write_bytes(run / "config.toml", "garbage\n = \n[\nmodel = \nwidth_g = 8\n");
  write_bytes(run / "env.json", "[1,2");
  write_bytes(run / "log.txt", "\n\nword\n");
  write_bytes(
      run / "train.jsonl",
      "\n{}\n[]\nnull\n{\"iteration\":\"5\",\"loss_d\":1}\n{\"iteration\":1,\"loss_d\":\"nan\",\"loss_g\":\"x\"}\n"
      "{\"iteration\":2,\"loss_d\":\"inf\",\"mean_real\":true,\"swd\":{},\"flops\":-1,\"executed_flops\":\"inf\"}\n"
      "{\"event\":5,\"iteration\":3}\n{\"event\":\"mask_update\",\"iteration\":4,\"layers\":[]}\n"
      "{\"event\":\"mask_update\",\"iteration\":4,\"network\":\"G\",\"alive\":1e300,\"layers\":{\"a\":0}}\n"
      "{\"event\":\"mask_update\",\"iteration\":5,\"network\":\"G\",\"layers\":{\"a\":0.5,\"b\":1}}\n");
  // Iterations in decreasing order, and values at the limits of a double.
  std::string odd;
  for (int i = 400; i > 0; --i) odd += mask_update(i, "D", "raise", 0.1 + i % 7);
  for (const char* loss : {"1e17", "100000000000000016", "-1e308", "1e308"}) {
    odd += std::string("{\"iteration\":9000000000000000000,\"mean_fake\":") + loss + "}\n";
    odd += std::string("{\"iteration\":-7,\"swd\":") + (loss[0] == '1' && loss[2] != '3' ? loss : "1e17") + "}\n";
  }
  write_bytes(run / "odd.jsonl", odd);
  std::filesystem::create_directories(run / "samples/fakes_000001.png");  // a folder in place of a picture
  write_bytes(run / "samples/fakes_x.png", "x");
  const RunRecord record = read_run(run.path());
  EXPECT_EQ(record.of("loss_d").size(), 2u);
  EXPECT_EQ(record.of("loss_g").size(), 0u);
  EXPECT_EQ(record.updates.size(), 403u);
  EXPECT_EQ(malformation(html_report(record)), "");
  EXPECT_FALSE(run_summary(record).empty());
}

TEST(Report, HostileTextIsOnlyText) {
  const std::string hostile = "\"><script src='//x'>&\x01</svg>";
  const TemporaryFolder run;
  write_bytes(run / "config.toml", "[a]\nname = \"" + hostile + "\"  # " + hostile + "\nmodel = " + hostile + "\n");
  write_bytes(run / "env.json", R"({"cpu":"\"><script>alert(1)</script>","<b>":"<i>"})");
  write_bytes(run / "log.txt", "<time> " + hostile + "\n");
  write_bytes(run / "train.jsonl",
              R"({"event":"mask_update","iteration":1,"network":"G","kind":"initial","layers":{"<script>&\"'":0.5}})"
              "\n"
              R"({"iteration":5,"loss_d":1})"
              "\n");
  const std::string page = html_report(read_run(run.path()));
  EXPECT_EQ(malformation(page), "");
  EXPECT_FALSE(contains(page, "<script"));
  EXPECT_TRUE(contains(page, "&lt;script&gt;&amp;&quot;&#39;</text>")) << "the layer's name";
}

TEST(Summary, TellsTheRun) {
  const TemporaryFolder run;
  fill(run);
  const std::string text = run_summary(read_run(run.path()));
  for (const char* part :
       {"3,000 of 3000 iterations", "density D", "BR", "0.25", "swd         best 0.10000 at iteration 1,500",
        "masks of D  density 0.25, 3 updates, 20 weights dropped, 28 grown"})
    EXPECT_TRUE(contains(text, part)) << part << "\n" << text;
}

TEST(Chart, TicksAreRound) {
  EXPECT_EQ(nice_ticks(0, 100, 5), (std::vector<double>{0, 20, 40, 60, 80, 100}));
  EXPECT_EQ(nice_ticks(-0.31, 0.28, 5), (std::vector<double>{-0.2, 0, 0.2}));
  EXPECT_LE(nice_ticks(1e17, 1e17 + 16, 5).size(), 11u);
  EXPECT_LE(nice_ticks(-1e308, 1e308, 5).size(), 11u);
  EXPECT_EQ(nice_ticks(3, 3, 5), (std::vector<double>{3}));
  EXPECT_EQ(tick_text(20000), "20k");
  EXPECT_EQ(tick_text(2.5e6), "2.5M");
  EXPECT_EQ(tick_text(0.1 + 0.2), "0.3");
  EXPECT_EQ(tick_text(-1e-17), "0");
}

// The points of the first line of a chart.
std::vector<std::pair<double, double>> drawn(const std::string& svg) {
  const std::string before = "class=\"line c0\" d=\"";
  const size_t start = svg.find(before);
  if (start == std::string::npos) return {};
  std::string path = svg.substr(start + before.size());
  path.resize(path.find('"'));
  for (char& c : path)
    if (c == 'M' || c == 'L') c = ' ';
  std::istringstream numbers(path);
  std::vector<std::pair<double, double>> points;
  for (double x, y; numbers >> x >> y;) points.emplace_back(x, y);
  return points;
}

TEST(Chart, PutsPointsWhereTheyBelong) {
  LineChart chart{.title = "t", .x_label = "x", .y_label = "y"};
  chart.series.push_back({.points = {{0, 0}, {50, 1}, {60, NAN}, {100, 0.5}}});
  chart.y_range = {0, 1};
  const std::string svg = svg_line_chart(chart);
  EXPECT_EQ(malformation(svg), "");
  const auto points = drawn(svg);
  ASSERT_EQ(points.size(), 3u);
  EXPECT_NEAR(points[1].first, (points[0].first + points[2].first) / 2, 0.11);
  EXPECT_LT(points[1].second, points[0].second) << "up is less in SVG";
  EXPECT_NEAR(points[2].second, (points[0].second + points[1].second) / 2, 0.11);
  EXPECT_EQ(count(svg, "d=\"M64.0 236.0L404.0 30.0M744.0 133.0\""), 1u) << "NaN interrupts the line";
}

TEST(Chart, AThinnedLineKeepsItsSpikes) {
  LineChart chart{.title = "t"};
  Points points;
  for (int i = 0; i < 100000; ++i) points.emplace_back(i, i == 77777 ? 1.0 : 0.0);
  chart.series.push_back({.points = points});
  chart.y_range = {0, 1};
  const auto kept = drawn(svg_line_chart(chart));
  EXPECT_LE(kept.size(), 800u);
  EXPECT_EQ(std::count_if(kept.begin(), kept.end(), [](const auto& p) { return p.second < 31; }), 1);
}

TEST(Chart, HeatMapsShowValuesInTime) {
  HeatMap map{.title = "t", .rows = {"a", "b"}, .starts = {0, 50}, .end = 100, .values = {{0.01, 1}, {0.1, 0.1}}};
  const std::string svg = svg_heat_map(map);
  EXPECT_EQ(malformation(svg), "");
  EXPECT_EQ(count(svg, "fill=\"#440154\""), 1u) << "the smallest: viridis's dark end";
  EXPECT_EQ(count(svg, "fill=\"#fde725\""), 1u) << "1: its bright end";
  EXPECT_EQ(count(svg, "fill=\"#21908d\""), 2u) << "0.1 is half way from 0.01 to 1";
  // Many updates are merged into few columns.
  for (auto& row : map.values) row.assign(5000, 0.5);
  map.starts.resize(5000);
  for (int i = 0; i < 5000; ++i) map.starts[static_cast<size_t>(i)] = i;
  map.end = 5000;
  EXPECT_LT(count(svg_heat_map(map), "<rect"), 400u);
}

}  // namespace
}  // namespace poise
