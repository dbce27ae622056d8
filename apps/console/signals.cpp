#include "apps/console/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

namespace poise {
namespace {

constexpr int kWatched[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
constexpr int kCount = sizeof kWatched / sizeof kWatched[0];

volatile sig_atomic_t stop_signal_number = 0, interrupts = 0, save_requested = 0;
struct sigaction previous_actions[kCount];

extern "C" void note_signal(int number) {
  if (number == SIGUSR2) {
    save_requested = 1;
    return;
  }
  if (number == SIGINT) {
    interrupts = interrupts + 1;
    if (interrupts >= 2) {
      const char text[] = "\nstopped immediately; the last checkpoint is complete\n";
      (void)!::write(2, text, sizeof text - 1);
      ::_exit(130);
    }
  }
  if (!stop_signal_number) stop_signal_number = number;
}

}  // namespace

SignalWatch::SignalWatch() {
  stop_signal_number = 0;
  interrupts = 0;
  save_requested = 0;
  for (int i = 0; i < kCount; ++i) {
    struct sigaction action {};
    action.sa_handler = note_signal;
    action.sa_flags = SA_RESTART;  // interrupted writes continue
    sigemptyset(&action.sa_mask);
    ::sigaction(kWatched[i], nullptr, &previous_actions[i]);
    if (previous_actions[i].sa_handler != SIG_IGN) ::sigaction(kWatched[i], &action, nullptr);
  }
}

SignalWatch::~SignalWatch() {
  for (int i = 0; i < kCount; ++i) ::sigaction(kWatched[i], &previous_actions[i], nullptr);
}

bool SignalWatch::stop_requested() const { return stop_signal_number != 0; }

const char* SignalWatch::stop_signal() const {
  switch (stop_signal_number) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    case SIGHUP:
      return "SIGHUP";
    case SIGUSR1:
      return "SIGUSR1";
    default:
      return "";
  }
}

bool SignalWatch::take_save_request() {
  const bool requested = save_requested != 0;
  save_requested = 0;
  return requested;
}

void prepare_standard_streams() {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  // Opened for reading only, so that writing to a closed standard output is still an error.
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) == -1 && errno == EBADF) (void)!::open("/dev/null", O_RDONLY);
  }
}

}  // namespace poise
