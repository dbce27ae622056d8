#include "apps/console/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace poise {
namespace {

constexpr double kWindow = 30;  // seconds over which the rate is averaged
constexpr double kRedrawEvery = 0.1;

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value && *value;
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string eta(const ProgressView& view) {
  return view.it_per_s > 0 ? format_duration(static_cast<double>(view.total - view.iteration) / view.it_per_s) : "--";
}

std::string rate(const ProgressView& view) {
  if (view.it_per_s <= 0) return fmt::format("-- {}/s", view.unit);
  if (view.it_per_s < 0.1) return fmt::format("{:.1f} s/{}", 1 / view.it_per_s, view.unit);
  return fmt::format("{:.{}f} {}/s", view.it_per_s, view.it_per_s < 10 ? 2 : 1, view.unit);
}

}  // namespace

ProgressStyle style_of(int descriptor) {
  const char* term = std::getenv("TERM");
  const bool capable = term && *term && std::string(term) != "dumb";
  const bool terminal = capable && ::isatty(descriptor) == 1;
  return {.terminal = terminal, .colour = terminal && !is_set("NO_COLOR")};
}

int columns_of(int descriptor) {
  if (const char* text = std::getenv("COLUMNS")) {
    if (const int columns = std::atoi(text); columns > 0) return columns;
  }
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "--";
  if (seconds < 10) return fmt::format("{:.1f}s", seconds);
  const auto s = static_cast<int64_t>(std::llround(std::min(seconds, 1e15)));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  return fmt::format("{}d{:02}h", s / 86400, s / 3600 % 24);
}

std::string counted(int64_t count, const std::string& noun) {
  return format_count(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string format_count(int64_t count) {
  std::string text = std::to_string(count);
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > (count < 0 ? 1 : 0); at -= 3) {
    text.insert(static_cast<size_t>(at), 1, ',');
  }
  return text;
}

std::string iso_time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string progress_bar_line(const ProgressView& view, int columns, bool colour) {
  std::vector<std::string> words = {fmt::format("{}/{}", format_count(view.iteration), format_count(view.total)),
                                    rate(view), "ETA " + eta(view)};
  if (view.has_losses) {
    words.push_back(fmt::format("D {:.3g}", view.loss_d));
    words.push_back(fmt::format("G {:.3g}", view.loss_g));
  }
  const int width = columns - 1;  // a full last column makes some terminals wrap
  std::string text;
  for (const std::string& word : words) {
    if (static_cast<int>(text.size() + 2 + word.size()) > width) break;
    text += "  " + word;
  }
  const int room = std::min(width - static_cast<int>(text.size()) - 4, 30);  // for the inside of "  [...]"
  if (room < 8) return text;
  const double done = view.total > 0 ? static_cast<double>(view.iteration) / static_cast<double>(view.total) : 0;
  const int filled = std::clamp(static_cast<int>(done * room), 0, room);
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled > 0 && filled < room) bar.back() = '>';
  const std::string rest(static_cast<size_t>(room - filled), ' ');
  return fmt::format("  [{}{}{}{}]{}", colour ? "\x1b[32m" : "", bar, colour ? "\x1b[0m" : "", rest, text);
}

std::string progress_plain_line(const ProgressView& view) {
  std::string text = fmt::format("iteration {}/{}  {}  ETA {}", view.iteration, view.total, rate(view), eta(view));
  if (view.has_losses) text += fmt::format("  loss_d {:.4g}  loss_g {:.4g}", view.loss_d, view.loss_g);
  return text;
}

Progress::Progress(int descriptor, const ProgressStyle& style, int64_t first_iteration, int64_t total, Clock clock,
                   int columns)
    : descriptor_(descriptor),
      style_(style),
      clock_(clock ? std::move(clock) : steady_seconds),
      fixed_columns_(columns) {
  view_.iteration = first_iteration;
  view_.total = total;
  started_ = clock_();
  recent_.push_back({0, first_iteration});
}

Progress::~Progress() { finish(); }

double Progress::training_seconds() const { return (paused_at_ >= 0 ? paused_at_ : clock_()) - started_ - paused_; }

double Progress::it_per_s() const {
  const double seconds = recent_.back().seconds - recent_.front().seconds;
  return seconds > 0 ? static_cast<double>(recent_.back().iteration - recent_.front().iteration) / seconds : 0;
}

ProgressView Progress::view() const {
  ProgressView view = view_;
  view.it_per_s = it_per_s();
  return view;
}

void Progress::iterated(int64_t iteration) {
  view_.iteration = iteration;
  const double now = training_seconds();
  recent_.push_back({now, iteration});
  // The window begins at the last moment that is at least kWindow old, so slow iterations still give a rate.
  while (recent_.size() > 2 && now - recent_[1].seconds >= kWindow) recent_.pop_front();
  if (style_.terminal && !style_.quiet) redraw_if_due();
}

void Progress::losses(double loss_d, double loss_g) {
  view_.loss_d = loss_d;
  view_.loss_g = loss_g;
  view_.has_losses = true;
}

void Progress::line() {
  if (style_.quiet) return;
  if (style_.terminal)
    redraw_if_due();
  else
    write(iso_time_now() + " " + progress_plain_line(view()) + "\n");
}

void Progress::note(const std::string& text) {
  if (style_.quiet) return;
  const bool drawn = drawn_width_ > 0;
  erase();
  write(text + "\n");
  if (drawn) redraw();
}

void Progress::finish() {
  if (drawn_width_ > 0) write("\n");
  drawn_width_ = 0;
}

void Progress::pause() {
  if (paused_at_ < 0) paused_at_ = clock_();
}

void Progress::resume() {
  if (paused_at_ >= 0) paused_ += clock_() - paused_at_;
  paused_at_ = -1;
}

void Progress::redraw_if_due() {
  const bool last = view_.iteration == view_.total;
  if (last || drawn_at_ < 0 || clock_() - drawn_at_ >= kRedrawEvery) redraw();
}

void Progress::redraw() {
  const int columns = fixed_columns_ > 0 ? fixed_columns_ : columns_of(descriptor_);
  const std::string plain = progress_bar_line(view(), columns, false);
  const std::string text = style_.colour ? progress_bar_line(view(), columns, true) : plain;
  // Blanks instead of an escape sequence overwrite the rest of a longer line, so NO_COLOR means no escapes at all.
  const size_t room = static_cast<size_t>(std::max(columns - 1, 0));
  const size_t wipe = std::min(drawn_width_, room);
  write(fmt::format("\r{}{:{}}", text, "", wipe > plain.size() ? wipe - plain.size() : 0));
  drawn_width_ = plain.size();
  drawn_at_ = clock_();
}

void Progress::erase() {
  if (drawn_width_ > 0) write(fmt::format("\r{:{}}\r", "", drawn_width_));
  drawn_width_ = 0;
}

// Progress output is optional (log.txt has everything): a closed or full stderr does not end a run.
void Progress::write(const std::string& text) const {
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(descriptor_, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    done += static_cast<size_t>(count);
  }
}

}  // namespace poise
