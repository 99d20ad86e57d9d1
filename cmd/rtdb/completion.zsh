#compdef rtdb
# Completion of rtdb for zsh: source <(rtdb completion zsh)

_rtdb() {
    local -a lines levels names described
    local line
    lines=("${(@f)$("${${(Q)words[1]}/#\~\//$HOME/}" complete zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    for line in "${lines[@]}"; do
        case $line in
            '') ;;
            $'\tfiles') _files; return ;;
            *$'\t'*) described+=("${line//$'\t'/:}") ;; # a command or a flag, and its help
            */) levels+=("$line") ;;
            *) names+=("$line") ;;
        esac
    done
    (( $#described )) && _describe rtdb described
    (( $#levels )) && compadd -S '' -- "${levels[@]}"
    (( $#names )) && compadd -- "${names[@]}"
}

(( $+functions[compdef] )) || { autoload -U compinit && compinit }
compdef _rtdb rtdb
