# Completion of rtdb for bash: source <(rtdb completion bash)

_rtdb() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == $'\tfiles' ]]; then
            compopt +o nospace -o default 2>/dev/null # let bash complete names of files
            return
        fi
        COMPREPLY+=("$line")
    done < <("${COMP_WORDS[0]/#~\//$HOME/}" complete bash -- "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
}

complete -o nospace -F _rtdb rtdb
