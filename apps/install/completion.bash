# Completes the programs of Poise in bash: commands and flags as --help lists them, presets, and files.
# Sourced by bash-completion from share/bash-completion/completions, or by hand.
_poise() {
  local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} folder help
  local command=()
  COMPREPLY=()
  if [ "${program##*/}" = inspect_run ]; then
    if [ "$COMP_CWORD" = 1 ]; then
      mapfile -t COMPREPLY < <(compgen -W "$("$program" --help | sed -nE 's/^  inspect_run ([a-z-]+).*/\1/p') --help" -- "$word")
      return
    fi
    command=("${COMP_WORDS[1]}")
  fi
  case $before in
    --preset)
      folder=$(dirname "$(readlink -f "$(command -v "$program")")")/../share/poise/presets
      mapfile -t COMPREPLY < <(compgen -W "$(cd "$folder" 2>/dev/null && printf '%s ' *.toml | sed 's/\.toml//g')" -- "$word")
      return
      ;;
  esac
  if [[ $word == -* ]]; then
    help=$("$program" "${command[@]}" --help 2>/dev/null | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u)
    mapfile -t COMPREPLY < <(compgen -W "$help" -- "$word")
  else
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -F _poise train_gan sample_gan evaluate_gan inspect_run
