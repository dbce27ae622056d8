#include "apps/programs/doctor_command.h"

#include "apps/console/flag_reader.h"
#include "apps/console/program.h"
#include "apps/report/doctor.h"
#include "apps/training/train_options.h"
#include "engine/io/user_path.h"

namespace poise {

CommandLineSpec doctor_command_line() {
  using Kind = Flag::Kind;
  return {.description = "Says whether training would work on this machine, line by line, and what to do if not.",
          .flags = {{"--device", Kind::value, "NAME", "auto, cpu, cuda or emulated: where runs shall compute (auto)"},
                    {"--data", Kind::list, "PATH", "files of a data set, which must be whole; may be repeated"},
                    {"--runs", Kind::value, "DIR", "where runs shall be written (runs)"},
                    {"--inception", Kind::value, "FILE", "weights of Inception (auto)"}},
          .positional = "",
          .positional_help = "",
          .footer = "ok: as it should be. hint: training works without. BAD: training would fail, exit code 3."};
}

int run_doctor(const CommandLine& args) {
  FlagReader reader(args);
  DoctorRequest request{.device = named<Device>(reader.choice("device", {"auto", "cpu", "cuda", "emulated"})),
                        .runs = expand_home(args.get("runs", "runs")),
                        .inception = args.get("inception", "auto")};
  if (const auto data = args.values.find("data"); data != args.values.end()) {
    for (const std::string& path : data->second) request.data.push_back(expand_home(path));
  }
  reader.throw_if_problems();
  const std::vector<Finding> findings = examine(request);
  print_result(findings_text(findings));
  for (const Finding& finding : findings) {
    if (finding.state == Finding::State::bad) return static_cast<int>(ErrorKind::environment);
  }
  return 0;
}

}  // namespace poise
