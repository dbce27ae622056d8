#!/usr/bin/env bash
# Runs every command that a README shows: all lines indented by four spaces, and our programs with arguments in
# `backticks`. (Output and code are between ``` lines.) Each README starts with a trained run and a set of pictures in
# its own folder. The environment and the table in `run_small` make programs small. Tools that are missing or would take
# hours are replaced with functions below that check their arguments. Any other command is not found: the test fails.
#
#   tests/readme_test.sh BUILD_FOLDER [README..]
set -uo pipefail
source_folder=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd) && shift
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
programs=" $(cd "$build/bin" && echo *) "

export HOME=$work TERM=dumb OMP_NUM_THREADS=1 POISE_DEVICE=cpu source_folder build work programs
export POISE_WIDTH_G=16 POISE_WIDTH_D=16 POISE_LATENT_SIZE=20 POISE_BATCH_SIZE_D=2 POISE_BATCH_SIZE_G=2 POISE_N_CRITIC=1 \
  POISE_ITERATIONS=2 POISE_SAMPLE_COUNT=4 POISE_SAMPLE_EVERY=0 POISE_CHECKPOINT_EVERY=0 POISE_EVAL_EVERY=0 POISE_LOG_EVERY=1

# Files that a study's evaluations name; they only need to exist.
none=$work/none && touch "$none.safetensors" "$none.npz"
export INCEPTION_768=$none.safetensors INCEPTION_IV3Q=$none.safetensors
export STATISTICS_768=$none.npz STATISTICS_IV3Q=$none.npz STATISTICS_RANDOM=$none.npz

complain() { echo "readme_test: $*" >&2 && return 1; }

# Our programs, in sizes that take a second. Sizes in the command itself (--iterations 400) are made small, too.
run_small() {
  local program=$1 arguments=() more=() argument previous='' status
  shift
  [[ $programs == *" $program "* ]] || { complain "no program $program"; return 1; }
  for argument in "$@"; do
    case $previous in
      --iterations | --steps) [[ "$*" == *--br-window* ]] && argument=12 || argument=2 ;;
      --br-every) argument=2 ;;
      --br-window) argument=4 ;;
      --evaluate) argument=${argument/--images 2000/--images 30} ;;
      --log-every) argument=1 ;;
      --eval-every | --batch-size-d | --batch-size-g) argument=1 ;;
      --protocol)
        "$build/bin/$program" --help | grep -q "$argument (" || { complain "no protocol $argument"; return 1; }
        argument=cifar10-quick-1k ;;
    esac
    arguments+=("$argument")
    previous=$argument
  done
  case "$program $*" in
    evaluate_gan\ *--protocol* | evaluate_gan\ make-stats*) ;;
    evaluate_gan\ *) more=(--images 100) ;;
    train_gan\ *--eval-every*) more=(--eval-images 100) ;;
    train_gan\ *--cell\ 16x16*) more=(--width-g 64 --width-d 64) ;;
    sweep_gan\ *--config*) more=(--dry-run) ;; # many runs
    *_test\ *) more=(--gtest_list_tests) ;;
    op_bench\ *--device\ cuda*) ;;
    op_bench\ *) more=(--benchmark_list_tests) ;;
    train_step_bench\ --sweep*)
      more=(--width-g 64 --width-d 64 --n-critic 1)
      [[ "$*" == *--batch-size* ]] || more+=(--batch-size-d 1 --batch-size-g 1)
      [[ "$*" == *--cells* ]] || more+=(--cells 16x16 --densities 0.5) ;;
    train_step_bench\ *) more=(--width-g 16 --width-d 16 --batch-size-d 2 --batch-size-g 2 --n-critic 1) ;;
    crossover_bench\ *)
      more=(--width-g 16 --width-d 16 --batch 2 --seconds 0)
      [[ "$*" == *--layers* ]] || more+=(--layers 1) ;;
    mask_update_bench\ *) set -- timeout 1 ;; # takes no options: only checks that it starts
  esac
  [ "${1:-}" = timeout ] || set --
  "$@" "$build/bin/$program" "${arguments[@]}" "${more[@]}" >"$work/output" 2>&1
  status=$?
  case "$status $program ${arguments[*]}" in
    0\ *) ;;
    3\ *--device\ cuda*) grep -q -e 'no CUDA' -e 'driver' "$work/output" ;;                    # no GPU here
    [23]\ evaluate_gan\ *fid*) grep -q 'needs the weights of Inception' "$work/output" ;;                     # no weights here
    [46]\ inspect_run\ verify-data\ *) grep -q 'md5' "$work/output" ;;                       # not the true files
    [2-5]\ evaluate_gan\ make-stats*--inception*) grep -q 'no safetensors file' "$work/output" ;;
    [2-5]\ inspect_run\ calibrate-band*) grep -q 'expected .*balance ratio' "$work/output" ;; # too few iterations
    124\ mask_update_bench*) ;;
    6\ crossover_bench\ *) grep -q 'measured three times' "$work/output" ;;                 # times of a busy machine
    *) false ;;
  esac
  [ $? = 0 ] || { tail -n 5 "$work/output" >&2; return 1; }
  [[ " $* ${arguments[*]} " != *" - "* ]] || head -c 1000 "$work/output" # --raw -
}

# Profilers: their own flags are followed by one of our programs.
profile() {
  while [ $# -gt 0 ] && [ "$1" != run_small ]; do shift; done
  "$@"
}

# Commands that are not ours. Each checks its arguments.
make() {
  local target=${1:-all}
  grep -q "^$target:" "$source_folder/Makefile" || grep -q "^demo bench:.*" <<<"$target" || complain "make: no target $target"
}
cmake() {
  local target
  case "$1" in
    --preset) grep -q "\"name\": \"$2\", \"inherits\"" "$source_folder/CMakePresets.json" || complain "cmake: no preset $2" ;;
    --build)
      [[ $2 == build/release || $2 == build/debug || $2 == build/asan ]] || complain "cmake: no folder $2" || return
      [ "${3:-}" = --target ] || return 0
      for target in "${@:4}"; do [[ $programs == *" $target "* ]] || complain "cmake: no target $target" || return; done ;;
    --install) [[ $2 == build/release && $3 == --prefix ]] || complain "cmake $*" ;;
    *) complain "cmake $*" ;;
  esac
}
ctest() {
  [ "$1 $2" = '--test-dir build/release' ] || complain "ctest $*" || return
  [ "${3:-}" != -R ] || grep -Eq "add_test\((\[=*\[)?\"?[a-z_0-9]*($4)" "$build/tests/CTestTestfile.cmake" || complain "ctest: no test $4"
}
python3() { # the scripts need PyTorch or NumPy: only checks that they parse and define the given flags
  local script=$source_folder/$1 flag
  [ -f "$script" ] || complain "no script $1" || return
  ! [ -x /usr/bin/python3 ] || /usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$script" || return
  for flag in "${@:2}"; do
    [[ $flag != -* ]] || grep -q -e "['\"]$flag['\"]" "$script" || complain "$1: no flag $flag" || return
  done
}
ffmpeg() { [ "$(head -c 100 | wc -c)" = 100 ] || complain "ffmpeg: expected images, got nothing"; }
tensorboard() { [ "$1" = --logdir ] && ls "$2"/*/events.out.tfevents.* >/dev/null || complain "tensorboard: no events in $2"; }
ncu() { profile "$@"; }
mpirun() { [ "$1" = -n ] || complain "mpirun $*" || return; profile "$@"; }
nsys() { profile "$@"; }
compute-sanitizer() { profile "$@"; }
gpu_suite() { # without nvidia-smi in the path, it only parses its arguments and exits with code 3
  PATH=$work/no_gpu /usr/bin/bash "$source_folder/bench/gpu_suite.sh" "$@" >"$work/output" 2>&1
  [ $? = 3 ] || { cat "$work/output" >&2; return 1; }
}
style_check() { bash -n "$source_folder/tests/style_check.sh"; }

# Prepares a user's folder: build/release/bin, a run in runs/latest, pictures, CIFAR-10's files (the sample five times).
prepare() {
  local sample=$source_folder/data/cifar10_sample/cifar10_sample.bin batch i
  mkdir -p "$work/no_gpu" "$work/user/build/release/bin" "$work/user/DIR" && cd "$work/user" || return 1
  ln -s /usr/bin/dirname "$work/no_gpu"
  for i in 1 2 3 4 5; do cat "$sample"; done >"$work/batch"
  for batch in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    ln -s "$work/batch" "$batch.bin" && ln -s "$work/batch" "DIR/$batch.bin"
  done
  ln -s "$work/user/DIR" "$work/cifar-10-batches-bin"
  run_small train_gan --preset tiny --name pictures && run_small sample_gan runs/latest --seeds 0-63 --frames my_pictures
  mv runs "$work/runs" && tar ch --hard-dereference data_batch_?.bin | gzip -1 >cifar-10-binary.tar.gz
  ln -s runs/latest RUN && ln -s runs/latest RUN_DIR && ln -s "$source_folder/bench" bench
  awk '/^```toml/ { shown = 1; next } /^```/ { shown = 0 } shown' "$source_folder/apps/README.md" >cells.toml
}

# build/release/bin/X, $b/X and X become run_small X; other paths of the repository become the functions above.
adapted() {
  sed -E -e 's/ +# .*//' -e 's/ +#$//' \
    -e 's#(^|[ ;|(])(\./)?(build/release/bin/|\$b/)([a-z_]+)#\1run_small \4#g' \
    -e 's#(^|[;|(] *)(train_gan|sample_gan|evaluate_gan|inspect_run|sweep_gan|op_bench|[a-z]+_[a-z]*_?bench)( |$)#\1run_small \2\3#g' \
    -e 's#/usr/bin/python3#python3#g' -e 's#bench/gpu_suite\.sh#gpu_suite#g' -e 's#tests/style_check\.sh#style_check#g'
}

commands_of() {
  awk '/^ *```/ { fence = !fence; next } !fence && /^    [^ |]/ { print substr($0, 5) }' "$1"
  grep -oE '`(train_gan|sample_gan|evaluate_gan|inspect_run|sweep_gan|[a-z_]+_bench) [^`]+`' "$1" | tr -d '`'
}

shrunk_run() { rm -rf runs && cp -a "$work/runs" runs; }

prepare || { complain "could not prepare"; exit 1; }
cd "$source_folder" && [ $# -gt 0 ] || mapfile -t readmes < <(find . -name README.md -not -path './build/*' | sort)
[ $# = 0 ] || readmes=("$@")
failed=0 ran=0
cd "$work/user" || exit 1
for readme in "${readmes[@]}"; do
  shrunk_run
  while IFS= read -r shown; do
    command=$(adapted <<<"$shown")
    [ -n "$command" ] || continue
    if [[ $command =~ ^[a-z]+=[^\ ]+$ ]]; then continue; fi # b=build/release/bin
    start=${EPOCHREALTIME/./}
    eval "( $command )" </dev/null >/dev/null || { complain "$readme shows a command that fails:   $shown"; failed=$((failed + 1)); }
    [ -z "${README_TEST_TIMES:-}" ] || echo "$(((${EPOCHREALTIME/./} - start) / 1000)) ms  $shown"
    ran=$((ran + 1))
  done < <(commands_of "$source_folder/$readme")
done
echo "$ran commands of ${#readmes[@]} READMEs, $failed failed"
[ $failed = 0 ] && [ $ran -ge 90 -o $# -gt 0 ]
