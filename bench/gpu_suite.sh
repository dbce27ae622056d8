#!/usr/bin/env bash
# Everything that needs a GPU, in one command: build, prove, measure, and print a short table after each part.
#
#   bench/gpu_suite.sh all [OUT]             everything; results in OUT (default build/gpu/results), and in OUT.tar.xz
#   bench/gpu_suite.sh PART.. [-o OUT]       build test sanitize ceilings ops step peers sparse table, in any combination;
#                                            sparse is not in all: block-sparse layers and cuSPARSE, 7 minutes at most
#   --seconds N                              limit for all parts together (default 840): a part gets its own limit or
#                                            the time left, whichever is less
#   --rehearse                               small sizes of the parts test and step, on any CUDA that is installed: for
#                                            machines without a GPU, with the stand-in (kernels/README.md)
#
# From the source tree: needs CUDA, a GPU and the packages of `make packages`; builds into build/gpu, for this GPU only.
# From a bundle (bench/gpu_bundle.sh): needs a driver and CUDA's libraries; the part build does nothing. Needs no
# network. Each part writes OUT/PART.log. If a part fails or runs out of time, the table names it, and the exit code is
# 6. Without a GPU, prints one line and exits with code 3.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
seconds=840
rehearse=''
parts=()
if [ -d "$here/bin" ]; then # a bundle
  bundle=1 root=$here build=$here peers=$here/peers out=$here/results
else
  bundle='' root=$(dirname "$here") build=build/gpu peers=bench/peers out=build/gpu/results
fi
while [ $# -gt 0 ]; do
  case $1 in
    all) parts+=(build test sanitize ceilings ops step peers) ;;
    build | test | sanitize | ceilings | ops | step | peers | sparse | table) parts+=("$1") ;;
    -o) out=$2 && shift ;;
    --seconds) seconds=$2 && shift ;;
    --rehearse) rehearse=1 ;;
    -*) echo "gpu_suite: error: unknown flag $1; see the head of $0" >&2 && exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || { echo "gpu_suite: error: expected all or parts; see the head of $0" >&2 && exit 2; }
[ "${out#/}" = "$out" ] && [ -n "$bundle" ] && out=$PWD/$out
cd "$root" || exit 1

# A bundle does not contain CUDA. Prints the folders with CUDA's libraries, from the toolkit or PyTorch's packages.
cuda_libraries() {
  local folder
  for folder in ${LD_LIBRARY_PATH//:/ } /usr/local/cuda/lib64 \
    $(python3 -c 'import nvidia; print(*(p for p in nvidia.__path__))' 2>/dev/null |
      xargs -r -n1 sh -c 'find "$0" -name "libcu*.so*" -exec dirname {} \;' | sort -u); do
    [ -n "$(ls "$folder"/libcudart.so.* "$folder"/libcublas.so.* "$folder"/libcusparse.so.* 2>/dev/null)" ] &&
      printf ':%s' "$folder"
  done
}
if [ -n "$bundle" ]; then
  LD_LIBRARY_PATH=$here/lib$(cuda_libraries)
  export LD_LIBRARY_PATH
fi

PATH=$PATH:/usr/local/cuda/bin
gpu=''
if [ -z "$rehearse" ]; then
  needed=(nvidia-smi)
  [ -n "$bundle" ] || needed+=(nvcc)
  for program in "${needed[@]}"; do
    command -v "$program" >/dev/null && continue
    echo "gpu_suite: error: no $program: this suite needs a machine with an NVIDIA GPU and the CUDA toolkit" >&2 && exit 3
  done
  gpu=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader 2>/dev/null | head -1)
  [ -n "$gpu" ] || { echo "gpu_suite: error: nvidia-smi finds no GPU; look at the driver" >&2 && exit 3; }
  gpu="$gpu, driver $(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -1)"
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1)
  architecture=${capability/./}
fi
mkdir -p "$out" || exit 1
failed=()
started=$SECONDS

# limited SECONDS COMMAND..: runs a command for at most SECONDS, and at most the time left for the whole suite.
limited() {
  local left=$((seconds - (SECONDS - started))) most=$1
  shift
  [ "$left" -ge 1 ] || { echo "no time left for $*" && return 124; }
  timeout --kill-after=10 $((left < most ? left : most)) "$@"
}

build() {
  [ -z "$bundle" ] || { echo "a bundle is built already" && return 0; }
  cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" &&
    limited 240 cmake --build $build -j "$(nproc)" --target gpu_suite_programs &&
    $build/bin/kernels_report --check $build/lib/libpoise_kernels.so $build/kernels/CMakeFiles/poise_kernels_cuda.dir
}

# Tests that run kernels on a real device if there is one, and 30 iterations of the small GAN. A filter that matches no
# case or a case that is skipped counts as a failure.
cuda_tests=(fragment_test gpu_op_test gpu_kernel_test gpu_conv_test gpu_block_conv_test cusparse_conv_test
  gpu_sparse_test prims_test train_gan_emulated_test)
test_part() {
  local name count log status=0
  [ -z "$rehearse" ] || cuda_tests=(gpu_kernel_test prims_test)
  for name in "${cuda_tests[@]}"; do
    log=$out/$name.log
    limited 60 $build/bin/$name --gtest_filter='*cuda*' >"$log" 2>&1 || status=1
    count=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) tests*\.$/\1/p' "$log")
    if [ "${count:-0}" = 0 ] || grep -q '^\[  SKIPPED \]' "$log"; then
      echo "$name: error: no case ran on the GPU, or some were skipped" && status=1
    fi
    echo "$name: ${count:-0} passed, $(grep -c '^\[  FAILED  \].*(' "$log") failed: $log"
  done
  local train=(--iterations 30)
  [ -z "$rehearse" ] || train=(--iterations 1 --width-g 4 --width-d 4 --batch-size-d 2 --batch-size-g 2)
  limited 60 $build/bin/train_gan --preset tiny --device cuda "${train[@]}" --eval-every 0 --sample-every 0 \
    --runs "$out/runs" --quiet || status=1
  return $status
}

sanitize() {
  command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer in the PATH" && return 1; }
  local tool status=0
  for tool in memcheck racecheck; do
    limited 50 compute-sanitizer --tool $tool --error-exitcode 6 $build/bin/gpu_op_test \
      --gtest_filter='*cuda*:-*model*' || status=1
    limited 40 compute-sanitizer --tool $tool --error-exitcode 6 $build/bin/train_gan --preset tiny --device cuda \
      --no-graph --iterations 1 --eval-every 0 --sample-every 0 --width-g 16 --width-d 16 --batch-size-d 4 \
      --batch-size-g 4 --runs "$out/runs" --quiet || status=1
  done
  return $status
}

ceilings() { limited 30 $build/bin/ceilings --json "$out/ceilings.json"; }

ops() {
  local precision status=0
  for precision in bf16 tf32; do
    limited 40 $build/bin/op_bench --device cuda --precision $precision --benchmark_min_time=0.02 \
      --benchmark_filter='conv2d|linear|batch_norm' --benchmark_out_format=json \
      --benchmark_out="$out/ops_$precision.json" || status=1
  done
  return $status
}

# The paper's run: SNGAN-32 at full width, 64 real and 64 fake images per D step, 128 per G step, 5 D steps.
work=(--batch-size-d 64 --batch-size-g 128 --n-critic 5)
step() {
  local precision status=0
  if [ -n "$rehearse" ]; then
    limited 60 $build/bin/train_step_bench --device cuda --precision bf16 --width-g 4 --width-d 4 --batch-size-d 2 \
      --batch-size-g 2 --n-critic 1 --iterations 1 --warm-ups 3 --json "$out/step_bf16.json"
    return
  fi
  for precision in bf16 tf32; do
    limited 30 $build/bin/train_step_bench --device cuda --precision $precision "${work[@]}" --iterations 20 \
      --warm-ups 5 --json "$out/step_$precision.json" || status=1
  done
  limited 30 $build/bin/train_step_bench --device cuda --precision bf16 --no-graph "${work[@]}" --iterations 10 \
    --warm-ups 5 --json "$out/step_bf16_no_graph.json" || status=1
  limited 30 $build/bin/train_step_bench --device cuda --precision bf16 --data-placement stream "${work[@]}" \
    --iterations 20 --warm-ups 5 --json "$out/step_bf16_streamed.json" || status=1
  return $status
}

peers() {
  python3 -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)' 2>/dev/null ||
    { echo "python3 has no PyTorch with CUDA: no peers" && return 0; }
  limited 110 python3 "$peers/pytorch_gpu_step.py" "${work[@]}" --json "$out/peers.json"
}

# Block-sparse layers, ours and cuSPARSE's, against dense ones: layer by layer, which also fills the table for
# --execution auto; some layers in detail; whole iterations under static masks.
sparse() {
  local status=0
  export POISE_CACHE=$PWD/$out/cache
  [ "${out#/}" = "$out" ] || POISE_CACHE=$out/cache
  limited 180 $build/bin/crossover_bench --device cuda --precision bf16 --batch 64 --cells 16x16,32x32 \
    --densities 1,0.5,0.3,0.2,0.1,0.05 --seconds 0.01 --json "$out/crossover_bf16.json" || status=1
  limited 100 $build/bin/op_bench --sparse --device cuda --precision bf16 --benchmark_min_time=0.01 \
    --benchmark_filter='conv2d_3x3_256_16px|linear' --benchmark_out_format=json \
    --benchmark_out="$out/sparse_ops_bf16.json" || status=1
  limited 140 $build/bin/train_step_bench --sweep --device cuda --precision bf16 "${work[@]}" --iterations 5 \
    --json "$out/sweep_bf16.json" --csv "$out/sweep_bf16.csv" --svg "$out/sweep_bf16.svg" || status=1
  return $status
}

# Prints the results so far and packs them into one archive, in case the next part does not return.
table() {
  echo
  echo "${gpu:-no GPU}, $((SECONDS - started)) s"
  $build/bin/gpu_suite_table "$out"
  [ ${#failed[@]} -eq 0 ] || echo "failed: ${failed[*]}"
  tar -C "$(dirname "$out")" --exclude=runs --exclude=cache -cJf "$out.tar.xz" "$(basename "$out")"
}
for part in "${parts[@]}"; do
  [ "$part" = table ] && continue
  begin=$SECONDS
  command=$part
  [ "$part" = test ] && command=test_part
  if $command >"$out/$part.log" 2>&1; then verdict=ok; else verdict=FAILED && failed+=("$part"); fi
  printf '%-10s %-7s %4d s   %s\n' "$part" $verdict $((SECONDS - begin)) "$out/$part.log"
  [ "$part" = build ] || table
done
[ "${parts[*]}" != table ] || table
echo "results: $out.tar.xz"
[ ${#failed[@]} -eq 0 ] || exit 6
