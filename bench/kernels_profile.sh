#!/usr/bin/env bash
# Counts what the kernels do in small iterations, dense ones and then with 16x16 blocks, on the stand-in for CUDA's
# runtime, and prints the tables. Exit code 6 if a kernel needs more than bench/kernel_budgets allows; other sizes are
# not compared with budgets.
#
#   kernels_profile.sh BUILD [sizes, as train_step_bench takes them: --width-g 128 --batch-size-d 8 ..]
set -u
build=$1
shift
here=$(dirname "$(realpath "$0")")
out=$build/kernels_profile
mkdir -p "$out"
size=(--width-g 64 --width-d 64 --batch-size-d 2 --batch-size-g 2 --n-critic 1)
[ $# = 0 ] || size=()
profile() { # NAME OPTIONS..
  local name=$1
  shift
  rm -f "$out/$name.jsonl"
  STAND_IN_PROFILE=$out/$name.jsonl LD_LIBRARY_PATH=$build/stand_in "$build/bin/train_step_bench" --device cuda \
    --precision bf16 --iterations 1 --warm-ups 0 --rows 0 "${size[@]}" "$@" >"$out/$name.log" 2>&1 || { cat "$out/$name.log" >&2; exit 1; }
}
status=0
for name in dense blocks; do
  sweep=()
  [ $name = dense ] || sweep=(--sweep --cells 16x16 --densities 0.3)
  budgets=(--budgets "$here/kernel_budgets/$name.json")
  [ $# = 0 ] || budgets=()
  profile $name "${sweep[@]}" "$@"
  echo "$name"
  "$build/bin/kernels_profile" "$out/$name.jsonl" "${budgets[@]}" || status=$?
done
exit $status
