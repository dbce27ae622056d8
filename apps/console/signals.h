// Signals as requests. A handler only sets a flag; the training loop looks at it between iterations.
//
//   SIGINT, SIGTERM, SIGHUP, SIGUSR1   finish the iteration, save, exit 75
//   SIGUSR2                            save and continue
//   a second SIGINT                    exit 130 at once (harmless: files are replaced whole or not at all)
#pragma once

namespace poise {

// Handlers for as long as it lives. A signal that was ignored at the start (nohup, background jobs) stays ignored.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  bool stop_requested() const;
  const char* stop_signal() const;  // "SIGTERM", or "" if none came
  bool take_save_request();         // true once per SIGUSR2 (or several that came together)
};

// For main(): writing to a closed pipe or beyond a file size limit becomes an error of write(), and files never get the
// numbers of standard streams that were closed.
void prepare_standard_streams();

}  // namespace poise
