#!/usr/bin/env bash
# gpu_bundle_rehearsal.sh BUILD STAND_IN
# Tests what will happen on a machine with a GPU: moves the bundle away from where it was built, and runs its suite with
# small sizes in an empty environment. CUDA's libraries are the stand-in's.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$1 stand_in=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$root/bench/gpu_bundle.sh" "$build" "$work/made"
mv "$work/made/poise-gpu" "$work/moved"

# Every library that a program loads must come from the bundle or from CUDA, or exist on every machine.
foreign=$(env -i LD_LIBRARY_PATH="$work/moved/lib:$stand_in" ldd "$work"/moved/bin/* |
  awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u |
  grep -vE "^lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)[.]|$work/moved/lib|$stand_in" || true)
[ -z "$foreign" ] || { echo "not in the bundle:" && echo "$foreign" && exit 1; }

if ! env -i PATH=/usr/bin:/bin LD_LIBRARY_PATH="$stand_in" \
  "$work/moved/gpu_suite.sh" --rehearse test step "$work/results"; then
  cat "$work"/results/*.log
  exit 1
fi
tar -tf "$work/results.tar.xz" | tee "$work/list"
for file in test.log step.log step_bf16.json summary.json; do
  grep -q "results/$file" "$work/list" || { echo "$file is not in the archive" && exit 1; }
done
# If there is no time, the parts that were not run are named.
if env -i PATH=/usr/bin:/bin LD_LIBRARY_PATH="$stand_in" "$work/moved/gpu_suite.sh" --rehearse --seconds 0 step \
  "$work/late" >"$work/late.txt"; then
  echo "a suite without time succeeded" && exit 1
fi
grep -q "failed: step" "$work/late.txt"
