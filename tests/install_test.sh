#!/usr/bin/env bash
# An installed tree works after it is moved, without the source tree and its build: it trains, its example program on
# the engine compiles and runs, and its manual pages and completion are there.
#
#   tests/install_test.sh BUILD_FOLDER
set -euo pipefail
build=$(cd "$1" && pwd)
source_folder=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
complain() { echo "install_test: $*" >&2 && exit 1; }

cmake --install "$build" --prefix "$work/first" >"$work/log" || { tail -n 5 "$work/log" >&2 && complain "cannot install"; }
mv "$work/first" "$work/moved"
prefix=$work/moved

# Nothing may use the source tree: if the system allows it, an empty folder is mounted over it.
cat >"$work/checks.sh" <<CHECKS
set -euo pipefail
cd "$work" && export HOME=$work OMP_NUM_THREADS=1 PATH=$prefix/bin:\$PATH
small="--iterations 2 --sample-count 4 --checkpoint-every 0 --sample-every 0 --batch-size-d 2 --batch-size-g 2 --n-critic 1"
train_gan --preset demo \$small --quiet >train.txt
sample_gan runs/latest -o fakes.png >/dev/null && [ -s fakes.png ]
inspect_run verify-data "$prefix/share/poise/cifar10_sample" --dataset cifar10 >/dev/null || [ \$? = 4 ]
cmake -S "$prefix/share/poise/example" -B example -DCMAKE_PREFIX_PATH=$prefix >example.txt 2>&1 || { cat example.txt >&2; exit 1; }
cmake --build example >>example.txt 2>&1 || { cat example.txt >&2; exit 1; }
example/train_own_model "$prefix/share/poise/cifar10_sample" 20 | tee -a example.txt | grep -Eq '^iteration 20  loss_d [0-9.]+  loss_g -?[0-9.]+'
CHECKS
if unshare --mount --map-root-user true 2>/dev/null; then
  unshare --mount --map-root-user bash -c "mount -t tmpfs none '$source_folder' && ! [ -e '$source_folder/README.md' ] && bash '$work/checks.sh'"
else
  bash "$work/checks.sh"
fi

for program in train_gan sample_gan evaluate_gan inspect_run; do
  grep -q '^\.TH' "$prefix/share/man/man1/$program.1" || complain "no manual page of $program"
  grep -q -- '\\-\\-help' "$prefix/share/man/man1/$program.1" || complain "the manual page of $program has no flags"
done
grep -q '^\.SH export' "$prefix/share/man/man1/inspect_run.1" || complain "the manual page of inspect_run has no commands"

completed() { # the words that completion offers for the last argument
  PATH=$prefix/bin:$PATH bash -c '
    source "$0" && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _poise && echo "${COMPREPLY[*]}"' \
    "$prefix/share/bash-completion/completions/train_gan" "$@"
}
[[ " $(completed train_gan --preset de) " == *" demo "* ]] || complain "no completion of presets"
[[ " $(completed train_gan --method) " == *" --method "* ]] || complain "no completion of flags"
[[ " $(completed inspect_run ex) " == *" export "* ]] || complain "no completion of commands"
[[ " $(completed inspect_run export --out) " == *" --output "* ]] || complain "no completion of a command's flags"
echo "an installed tree works where it was moved to"
