#include "apps/run/run_environment.h"

#include <unistd.h>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/run/run_state.h"
#include "engine/io/jsonl.h"

namespace poise {

std::string environment_json(const Settings& settings, const DeviceChoice& device, const ImageSet& images) {
  constexpr int64_t kEnvironmentSchema = 1;
  char host[256] = "unknown";
  ::gethostname(host, sizeof host - 1);
  return json_line({{"schema", kEnvironmentSchema},
                    {"poise", version()},
                    {"build", build_type()},
                    {"compiler", compiler()},
                    {"device", std::string(name_of(device.device))},
                    {"device_name", device.name},
                    {"precision", std::string(name_of(device.precision))},
                    {"cpu", cpu_model()},
                    {"threads", int64_t{thread_count()}},
                    {"host", std::string(host)},
                    {"data", images.source},
                    {"images", images.count},
                    {"data_crc", crc_text(images.crc)},
                    {"classes", images.class_names},
                    {"config_hash", config_hash(fixed_settings(settings))},
                    {"time", iso_time_now()}}) +
         "\n";
}

}  // namespace poise
