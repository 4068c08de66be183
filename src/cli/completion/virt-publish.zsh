#compdef virt-publish
# Completion of virt-publish for zsh. Load it with: eval "$(virt-publish completion zsh)"

_virt_publish() {
  local -a before values
  local line
  before=("${(@Q)words[2,CURRENT-1]}")
  for line in "${(@f)$(${(Q)words[1]} __complete -- "${before[@]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
    case $line in
      :files) _files ;;
      :dirs) _files -/ ;;
      ?*) values+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    esac
  done
  (( ${#values} )) && _describe -V 'virt-publish' values
}

if [[ ${funcstack[1]} == _virt-publish ]]; then
  _virt_publish "$@"
else
  compdef _virt_publish virt-publish
fi
