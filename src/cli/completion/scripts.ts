/** Completion scripts by shell. All of them ask `supermachine __complete`, so that they never need to change. */
export const completionScripts = {
  // COMP_LINE is cut by spaces here, because bash has already cut COMP_WORDS at the colons and equals signs that image
  // names and options contain; for the same reason the part before the last such cut is taken off each candidate.
  bash: `# bash completion for supermachine; load it with: source <(supermachine completion bash)
_supermachine() {
  local current=\${COMP_WORDS[COMP_CWORD]} line=\${COMP_LINE:0:COMP_POINT} files='' words=() candidate
  if [ -n "$line" ]; then
    read -ra words <<< "$line"
    case $line in *[[:space:]]) words+=('') ;; esac
  else
    words=("\${COMP_WORDS[@]:0:COMP_CWORD+1}")
  fi
  local whole=\${words[\${#words[@]}-1]} cut=''
  case $COMP_WORDBREAKS in *:*) case $whole in *:*) cut=\${whole%"\${whole##*:}"} ;; esac ;; esac
  case $COMP_WORDBREAKS in *=*) case \${whole#"$cut"} in *=*) cut=\${whole%"\${whole##*=}"} ;; esac ;; esac
  COMPREPLY=()
  while IFS= read -r candidate; do
    candidate=\${candidate%%$'\\t'*}
    case $candidate in
      '') ;;
      :files) files=1 ;;
      *:) COMPREPLY+=("\${candidate#"$cut"}"); compopt -o nospace 2>/dev/null ;;
      *) COMPREPLY+=("\${candidate#"$cut"}") ;;
    esac
  done < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
  if [ -n "$files" ]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "\${whole#"$cut"}")
  fi
}
complete -F _supermachine supermachine
`,
  zsh: `#compdef supermachine
# zsh completion for supermachine; load it with: source <(supermachine completion zsh)
_supermachine() {
  local -a lines values descriptions
  local line files=''
  lines=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in $lines; do
    if [[ $line == ':files' ]]; then
      files=1
    elif [[ -n $line ]]; then
      values+=("\${line%%$'\\t'*}")
      if [[ $line == *$'\\t'* ]]; then
        descriptions+=("\${line%%$'\\t'*}  -- \${line#*$'\\t'}")
      else
        descriptions+=("$line")
      fi
    fi
  done
  local -a plain open plainText openText
  local index
  for ((index = 1; index <= $#values; index++)); do
    if [[ $values[index] == *: ]]; then
      open+=("$values[index]"); openText+=("$descriptions[index]")
    else
      plain+=("$values[index]"); plainText+=("$descriptions[index]")
    fi
  done
  (( $#plain )) && compadd -l -d plainText -a plain
  (( $#open )) && compadd -S '' -l -d openText -a open
  # Behind the colon of MACHINE: or oci: only the rest is a path.
  [[ -n $files ]] && { compset -P '*:'; _files }
  return 0
}
if [[ \${zsh_eval_context[-1]} == loadautofunc ]]; then _supermachine "$@"; else compdef _supermachine supermachine; fi
`,
  fish: `# fish completion for supermachine; load it with: supermachine completion fish | source
function __supermachine_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$current"
        else if test -n "$line"
            printf '%s\\n' $line
        end
    end
end
complete -c supermachine -f -a '(__supermachine_complete)'
`,
} as const;

export type Shell = keyof typeof completionScripts;
