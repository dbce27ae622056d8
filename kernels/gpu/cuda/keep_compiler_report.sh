#!/bin/sh
# keep_compiler_report.sh OBJECT COMMAND...
# Runs a compiler. What ptxas reports about each kernel goes to OBJECT.ptxas, where bench/kernels_report reads it;
# everything else goes to standard error as usual.
object=$1
shift
"$@" 2>"$object.stderr"
status=$?
about_kernels='^ptxas info|^ +[0-9]+ bytes stack frame'
grep -E "$about_kernels" "$object.stderr" >"$object.ptxas"
grep -vE "$about_kernels" "$object.stderr" >&2
rm -f "$object.stderr"
exit $status
