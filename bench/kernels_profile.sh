#!/usr/bin/env bash
# Counts what the kernels do on the stand-in for CUDA's runtime, and prints the tables: for small iterations, dense and
# then with 16x16 blocks, running every thread block; for an iteration of full-size SNGAN-32 (B_D 64, B_G 128, n_critic
# 5), dense and with blocks at 10%, running a sample of the thread blocks of each large launch. Exit code 6 if a kernel,
# the number of launches or the predicted time exceeds bench/kernel_budgets; other sizes are not compared with budgets.
#
#   kernels_profile.sh BUILD [sizes, as train_step_bench takes them: --width-g 128 --batch-size-d 8 ..]
set -u
build=$1
shift
here=$(dirname "$(realpath "$0")")
out=$build/kernels_profile
mkdir -p "$out"
status=0
profile() { # NAME OPTIONS..
  local name=$1 budgets=(--budgets "$here/kernel_budgets/$1.json")
  shift
  [ -z "$other" ] || budgets=()
  rm -f "$out/$name.jsonl"
  STAND_IN_PROFILE=$out/$name.jsonl LD_LIBRARY_PATH=$build/stand_in "$build/bin/train_step_bench" --device cuda \
    --precision bf16 --iterations 1 --warm-ups 0 --rows 0 "$@" >"$out/$name.log" 2>&1 || { cat "$out/$name.log" >&2; exit 1; }
  echo "$name"
  "$build/bin/kernels_profile" "$out/$name.jsonl" "${budgets[@]}" || status=$?
}
other=${1:-}
size=("$@")
[ -n "$other" ] || size=(--width-g 64 --width-d 64 --batch-size-d 2 --batch-size-g 2 --n-critic 1)
profile dense "${size[@]}"
profile blocks "${size[@]}" --sweep --cells 16x16 --densities 0.3
[ -z "$other" ] || exit $status
export STAND_IN_RUN=sample:16
full=(--no-graph --batch-size-d 64 --batch-size-g 128)
profile full_dense "${full[@]}"
profile full_blocks "${full[@]}" --density 0.1 --cell 16x16
exit $status
