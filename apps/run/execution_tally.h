// Counts which passes of a run's masked layers are currently sparse, for a line of log.txt; report.html lists them all.
#pragma once
#include <map>
#include <string>
#include <utility>

namespace poise {

class ExecutionTally {
 public:
  // Takes names; replaces the previous execution of this pass of this layer.
  void add(const std::string& layer, const std::string& pass, const std::string& execution);
  std::string text() const;  // "42 of 54 passes of masked layers are sparse (42 weights); ..."

 private:
  std::map<std::pair<std::string, std::string>, std::string> latest_;  // by layer and pass
};

}  // namespace poise
