// The progress line, on a terminal and elsewhere, with a clock that the test controls.
#include "apps/console/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

namespace poise {
namespace {

// Captures the output of a Progress and provides its clock.
struct Stage {
  int pipe_ends[2];
  double now = 0;
  Stage() {
    EXPECT_EQ(::pipe(pipe_ends), 0);
    ::fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK);
  }
  ~Stage() {
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
  }
  Progress::Clock clock() {
    return [this] { return now; };
  }
  std::string written() {
    std::string text(65536, '\0');
    const ssize_t count = ::read(pipe_ends[0], text.data(), text.size());
    text.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return text;
  }
};

TEST(Progress, PlainLinesHaveNoControlCharacters) {
  Stage stage;
  {
    Progress progress(stage.pipe_ends[1], {}, 0, 100, stage.clock());
    for (int i = 1; i <= 50; ++i) {
      stage.now += 0.5;
      progress.iterated(i);
    }
    progress.losses(1.25, -0.5);
    EXPECT_EQ(stage.written(), "") << "only when asked";
    progress.line();
    progress.note("a note");
  }
  const std::string text = stage.written();
  EXPECT_NE(text.find("Z iteration 50/100  2.00 it/s  ETA 25s  loss_d 1.25  loss_g -0.5\na note\n"), std::string::npos)
      << text;
  EXPECT_EQ(text.find_first_of("\r\x1b"), std::string::npos);
}

TEST(Progress, TerminalLineIsRedrawnInPlace) {
  for (const bool colour : {false, true}) {
    Stage stage;
    {
      Progress progress(stage.pipe_ends[1], {.terminal = true, .colour = colour}, 0, 100, stage.clock(), 80);
      for (int i = 1; i <= 10; ++i) {
        stage.now += 0.05;
        progress.iterated(i);
      }
      progress.note("a note");
    }
    const std::string text = stage.written();
    EXPECT_EQ(text.find('\x1b') != std::string::npos, colour);
    EXPECT_EQ(text[0], '\r');
    EXPECT_NE(text.find("10/100"), std::string::npos) << text;
    EXPECT_NE(text.find("\ra note\n\r"), std::string::npos) << text;
    EXPECT_EQ(text.back(), '\n') << "the shell's prompt gets its own line";
    EXPECT_LE(std::count(text.begin(), text.end(), '\r'), 10) << "a few redraws per second are enough";
  }
}

TEST(Progress, LineFitsAnyWidth) {
  ProgressView view{
      .iteration = 36500, .total = 100000, .it_per_s = 23.2, .loss_d = 1.21, .loss_g = -0.34, .has_losses = true};
  EXPECT_EQ(progress_bar_line(view, 80, false),
            "  [=====>             ]  36,500/100,000  23.2 it/s  ETA 45m37s  D 1.21  G -0.34");
  for (int columns = 0; columns < 200; ++columns) {
    EXPECT_LE(static_cast<int>(progress_bar_line(view, columns, false).size()), std::max(columns - 1, 0)) << columns;
  }
  view.iteration = view.total;
  EXPECT_NE(progress_bar_line(view, 100, false).find("==]"), std::string::npos);
}

TEST(Progress, PausesDoNotCount) {
  Stage stage;
  Progress progress(stage.pipe_ends[1], {.quiet = true}, 10, 1000, stage.clock());
  for (int i = 1; i <= 20; ++i) {
    stage.now += 1;
    progress.iterated(10 + i);
    progress.pause();
    stage.now += 100;
    progress.resume();
  }
  EXPECT_DOUBLE_EQ(progress.training_seconds(), 20);
  EXPECT_DOUBLE_EQ(progress.it_per_s(), 1);
  progress.line();
  progress.note("quiet");
  EXPECT_EQ(stage.written(), "");
}

TEST(Progress, RateFollowsTheLastHalfMinute) {
  Stage stage;
  Progress progress(stage.pipe_ends[1], {.quiet = true}, 0, 1000, stage.clock());
  for (int i = 1; i <= 200; ++i) progress.iterated(((stage.now += i <= 100 ? 2 : 0.5), i));
  EXPECT_NEAR(progress.it_per_s(), 2, 1e-9);
}

TEST(Progress, EnvironmentDecidesTheStyle) {
  EXPECT_FALSE(style_of(-1).terminal);
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) GTEST_SKIP() << "no pseudo-terminals here";
  ::setenv("TERM", "xterm", 1);
  ::unsetenv("NO_COLOR");
  EXPECT_TRUE(style_of(terminal).terminal);
  EXPECT_TRUE(style_of(terminal).colour);
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_TRUE(style_of(terminal).terminal);
  EXPECT_FALSE(style_of(terminal).colour);
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(style_of(terminal).terminal);
  ::close(terminal);
  ::setenv("COLUMNS", "57", 1);
  EXPECT_EQ(columns_of(-1), 57);
  ::setenv("COLUMNS", "x", 1);
  EXPECT_EQ(columns_of(-1), 80);
}

TEST(Progress, FormatsDurationsAndCounts) {
  EXPECT_EQ(format_duration(0.84), "0.8s");
  EXPECT_EQ(format_duration(59), "59s");
  EXPECT_EQ(format_duration(45 * 60 + 37), "45m37s");
  EXPECT_EQ(format_duration(3 * 86400 + 4 * 3600 + 59), "3d04h");
  EXPECT_EQ(format_duration(-1), "--");
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(12345678), "12,345,678");
  EXPECT_EQ(format_count(-123456), "-123,456");
}

TEST(Progress, ClosedOutputDoesNotMatter) {
  Progress progress(-1, {}, 0, 10);
  progress.iterated(1);
  progress.line();
}

}  // namespace
}  // namespace poise
