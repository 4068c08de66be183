# Completion of virt-publish for bash. Load it with: eval "$(virt-publish completion bash)"

_virt_publish() {
  local rest=${COMP_LINE:0:COMP_POINT} words=() word i glued current skipped line paths=
  # bash splits words at = and :, which are inside words here (--format=qcow2, s3://bucket).
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]} glued=1
    while [[ $rest == [[:space:]]* ]]; do rest=${rest#?} glued=; done
    [[ $i -lt $COMP_CWORD ]] || word=$rest
    rest=${rest#"$word"}
    word=${word//[\\\"\']/}
    if [[ -n $glued && $i -gt 0 ]]; then words[-1]+=$word; else words+=("$word"); fi
  done
  current=${words[-1]} skipped=
  if [[ $COMP_WORDBREAKS == *=* && $current == *=* ]]; then skipped=${current%"${current##*=}"}; fi
  if [[ $COMP_WORDBREAKS == *:* && ${current#"$skipped"} == *:* ]]; then skipped=${current%"${current##*:}"}; fi
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
    :*) paths=${line#:} ;;
    *)
      line=${line%%$'\t'*}
      line=${line#"$skipped"}
      # Names come from a registry that others may write to: nothing of one may be expanded.
      if [[ ${COMP_WORDS[COMP_CWORD]} != [\"\']* ]]; then
        COMPREPLY+=("$(printf %q "$line")")
      elif [[ $line != *[\"\'\\\`\$\!]* ]]; then
        COMPREPLY+=("$line")
      fi
      ;;
    esac
  done < <("${COMP_WORDS[0]/#~\//$HOME/}" __complete -- "${words[@]:1}" 2>/dev/null)
  case $paths in
  files) compopt -o default 2>/dev/null ;;
  dirs) compopt -o dirnames 2>/dev/null ;;
  esac
}

complete -F _virt_publish virt-publish
