// Signals as requests. A handler only sets a flag; the training loop checks it between iterations.
//
//   SIGINT, SIGTERM, SIGHUP, SIGUSR1   finish the iteration, save, exit 75
//   SIGUSR2                            save and continue
//   a second SIGINT                    exit 130 at once (harmless: files are replaced whole or not at all)
#pragma once

namespace poise {

// Installs handlers for its lifetime. A signal that was ignored at the start (nohup, background jobs) stays ignored.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  bool stop_requested() const;
  const char* stop_signal() const;  // "SIGTERM", or "" if none was received
  bool take_save_request();         // true once per SIGUSR2 (or several at once)
};

// For main(): writing to a closed pipe or beyond a file size limit becomes an error of write(), and later files never
// get the descriptors of standard streams that were closed.
void prepare_standard_streams();

}  // namespace poise
