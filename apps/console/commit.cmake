# Run at every build: writes OUTPUT, which defines POISE_COMMIT as "+a612fa0" ("+a612fa0-dirty" with uncommitted changes,
# "" outside a git checkout), and leaves it alone if it is up to date.
execute_process(COMMAND git describe --always --dirty --exclude=* WORKING_DIRECTORY ${SOURCE}
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(commit)
  string(PREPEND commit "+")
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define POISE_COMMIT \"${commit}\"\n")
