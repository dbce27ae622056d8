#!/usr/bin/env bash
# Makes one archive for a machine with a GPU but no build tools: the programs of bench/gpu_suite.sh with the libraries
# they need, the suite itself, the presets and the image sample.
#
#   bench/gpu_bundle.sh BUILD ARCHIVE.tar.xz      BUILD is the folder of a build with CUDA
#   bench/gpu_bundle.sh BUILD FOLDER              the same, unpacked
#
# On the GPU machine: tar xf ARCHIVE.tar.xz && poise-gpu/gpu_suite.sh all
# It needs a driver and CUDA's libraries with the same major versions, from the toolkit or from PyTorch's packages.
set -euo pipefail
[ $# = 2 ] || { echo "gpu_bundle: error: expected BUILD and ARCHIVE.tar.xz or FOLDER; see the head of $0" >&2 && exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd)
target=$2
programs=(train_gan op_bench crossover_bench train_step_bench ceilings gpu_suite_table fragment_test gpu_op_test
  gpu_kernel_test gpu_conv_test gpu_block_conv_test cusparse_conv_test gpu_sparse_test prims_test
  train_gan_emulated_test)
most_bytes=$((25 << 20))

case $target in
  *.tar.xz) work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT ;;
  *) work=$target ;;
esac
bundle=$work/poise-gpu
rm -rf "$bundle"
mkdir -p "$bundle"/{bin,lib,share/poise,peers}
for program in "${programs[@]}"; do
  [ -x "$build/bin/$program" ] || { echo "gpu_bundle: error: $build has no $program: build gpu_suite_programs with CUDA" >&2 && exit 3; }
  strip -o "$bundle/bin/$program" "$build/bin/$program"
done

# Not included: the C library and its companions, which every machine has, and CUDA's own libraries.
provided='^(linux-vdso|ld-linux|libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|libcuda|libcudart)[-.]'
ldd "$bundle"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u | while read -r name path; do
  [[ $name =~ $provided ]] || strip -o "$bundle/lib/$name" "$path"
done
cp -r "$root/apps/presets" "$bundle/share/poise/presets"
cp -r "$root/data/cifar10_sample" "$bundle/share/poise/cifar10_sample"
cp "$root"/bench/peers/{pytorch_gpu_step,sngan32_pytorch}.py "$bundle/peers/"
cp "$root/bench/gpu_suite.sh" "$bundle/gpu_suite.sh"

[ "$work" != "$target" ] || { echo "$bundle: $(du -sm "$bundle" | cut -f1) MiB" && exit 0; }
mkdir -p "$(dirname "$target")"
tar -C "$work" -c poise-gpu | xz -T0 -6 >"$target"
bytes=$(stat -c %s "$target")
echo "$target: $((bytes >> 20)) MiB"
[ "$bytes" -le $most_bytes ] || { echo "gpu_bundle: error: more than 25 MiB" >&2 && exit 1; }
