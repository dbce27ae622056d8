// Progress of a run. On a terminal, one line is redrawn. Otherwise a plain line is written whenever one is due, without
// carriage returns or escape sequences, so that a log file or `| cat` stays readable.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

namespace poise {

struct ProgressStyle {
  bool terminal = false;  // redraw one line
  bool colour = false;
  bool quiet = false;  // nothing at all
};
// The style for `descriptor`: not a terminal if TERM is dumb or unset; no colour if NO_COLOR is set and not empty.
ProgressStyle style_of(int descriptor);
// Columns of the terminal: COLUMNS, else what the terminal reports, else 80.
int columns_of(int descriptor);

struct ProgressView {
  int64_t iteration = 0, total = 0;
  double it_per_s = 0;  // 0: not known yet
  double loss_d = 0, loss_g = 0;
  bool has_losses = false;
  const char* unit = "it";  // what an iteration is called in rates
};
// "  [=====>    ]  36,500/100,000  23.2 it/s  ETA 45m37s  D 1.21  G -0.34", at most `columns` - 1 wide. Words that do
// not fit are dropped from the right. The bar takes the remaining space, and is dropped if that is too narrow.
std::string progress_bar_line(const ProgressView& view, int columns, bool colour);
// "iteration 36500/100000  23.2 it/s  ETA 45m37s  loss_d 1.21  loss_g -0.34"
std::string progress_plain_line(const ProgressView& view);
std::string format_duration(double seconds);                  // "45m37s", "3d04h", "0.8s"
std::string format_count(int64_t count);                      // "100,000"
std::string counted(int64_t count, const std::string& noun);  // "1 run", "100,000 runs"
std::string iso_time_now();                                   // "2026-01-31T06:10:02Z"

class Progress {
 public:
  using Clock = std::function<double()>;  // seconds
  // `columns` 0: query the terminal each time.
  Progress(int descriptor, const ProgressStyle& style, int64_t first_iteration, int64_t total, Clock clock = {},
           int columns = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void iterated(int64_t iteration);  // once per iteration: counts, and redraws a few times per second
  void losses(double loss_d, double loss_g);
  void line();                         // one plain line; on a terminal the same as iterated()
  void note(const std::string& text);  // a line of its own, above the bar
  void finish();                       // leaves the bar as it is and ends its line

  // Time between pause() and resume() does not count as training: pictures, checkpoints, measurements.
  void pause();
  void resume();

  double training_seconds() const;  // of this process
  double it_per_s() const;          // over the last half minute or so
  ProgressView view() const;

 private:
  void redraw_if_due();
  void redraw();
  void erase();
  void write(const std::string& text) const;

  struct Moment {
    double seconds;
    int64_t iteration;
  };
  int descriptor_;
  ProgressStyle style_;
  ProgressView view_;
  Clock clock_;
  int fixed_columns_;
  double started_ = 0, paused_at_ = -1, paused_ = 0, drawn_at_ = -1;
  size_t drawn_width_ = 0;
  std::deque<Moment> recent_;
};

}  // namespace poise
