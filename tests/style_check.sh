#!/usr/bin/env bash
# Checks the style, for `make format-check`, `make tidy` and the tests.
#
#   tests/style_check.sh format [--write]    would clang-format change a file? (--write: change it)
#   tests/style_check.sh tidy [FOLDER..]     clang-tidy, with the checks of .clang-tidy: every header at once, and the
#                                            .cpp files below the folders (default: all, which takes many minutes)
#
# If the tool is not installed, prints a line that says so, and exits with code 77.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
folders=(kernels engine data models apps bench tests)
version=14 # of Debian 12; other versions format differently

skip() { echo "skipped: $1" && exit 77; }

check_format() {
  command -v clang-format >/dev/null || skip "clang-format is not installed (apt-get install clang-format)"
  clang-format --version | grep -q "version $version\." || skip "the tree is formatted with clang-format $version, not with $(clang-format --version)"
  mapfile -d '' files < <(find "${folders[@]}" \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 | sort -z)
  [ "${1:-}" = --write ] && exec clang-format -i "${files[@]}"
  clang-format --dry-run --Werror "${files[@]}" || { echo "Please run: make format" && exit 1; }
  echo "${#files[@]} files are formatted"
}

# Macros that CMake defines for single files are empty strings here.
tidy() {
  local report status names=(SOURCE_DIR GOLDEN_DIR SAMPLE_DATA_DIR PRESET_DIR VERSION BUILD_TYPE TRAIN_GAN SAMPLE_GAN
    INSPECT_RUN EVALUATE_GAN)
  names=("${names[@]/#/-DPOISE_}")
  report=$(clang-tidy --quiet "$@" -- -std=c++20 -I"$PWD" -idirafter "$openmp" "${names[@]/%/=\"\"}" 2>&1)
  status=$?
  grep -v 'warnings\? generated' <<<"$report"
  return $status
}

check_tidy() {
  command -v clang-tidy >/dev/null || skip "clang-tidy is not installed (apt-get install clang-tidy)"
  [ $# -gt 0 ] || set -- "${folders[@]}"
  headers=$(mktemp --suffix=.cpp) && trap 'rm -f "$headers"' EXIT
  # Excludes files that need nvcc or (like the emulated device) std::source_location, which this clang does not have.
  find kernels/core engine data models apps -name '*.h' | sort | sed 's/.*/#include "&"/' >"$headers"
  mapfile -d '' files < <(find "$@" -name '*.cpp' -print0 | xargs -0 grep -LZ -e source_location -e kernels/gpu/ -e emulated | sort -z)
  openmp=$(g++ -print-file-name=include)
  export openmp && export -f tidy
  printf '%s\0' "$headers" "${files[@]}" | xargs -0 -n 4 -P "$(nproc)" bash -c 'tidy "$@"' bash || exit 1
  echo "all headers and ${#files[@]} .cpp files are tidy"
}

case ${1:-} in
  format) check_format "${@:2}" ;;
  tidy) check_tidy "${@:2}" ;;
  *) echo "style_check: error: expected format or tidy; see the head of $0" >&2 && exit 2 ;;
esac
