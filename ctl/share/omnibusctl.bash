# omnibusctl(1)
_omnibusctl() {
    local current=${COMP_WORDS[COMP_CWORD]} verb= word options= arguments=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
        -*) ;;
        *) verb=$word; break ;;
        esac
    done
    if [[ -z $verb ]]; then
        options="--system --user --address= --json --color= --no-legend --timeout= --help"
        arguments="status list top show pending activation names matches monitor capture graph latency upgrade takeover metrics log log-level group why policy check reload help"
    else
        case $verb in
        status) options="--help --system --user --address= --json --color= --no-legend --timeout="; arguments="" ;;
        list) options="--help --system --user --address= --json --color= --no-legend --timeout= --sort= --by= --gone"; arguments="" ;;
        top) options="--help --system --user --address= --json --color= --no-legend --timeout= --delay= --number= --once --sort= --by= --filter="; arguments="" ;;
        show) options="--help --system --user --address= --json --color= --no-legend --timeout="; arguments="$(omnibusctl _complete 2>/dev/null)" ;;
        pending) options="--help --system --user --address= --json --color= --no-legend --timeout= --min="; arguments="$(omnibusctl _complete 2>/dev/null)" ;;
        activation) options="--help --system --user --address= --json --color= --no-legend --timeout= --failed"; arguments="" ;;
        names) options="--help --system --user --address= --json --color= --no-legend --timeout="; arguments="$(omnibusctl _complete 2>/dev/null)" ;;
        matches) options="--help --system --user --address= --json --color= --no-legend --timeout= --costly"; arguments="$(omnibusctl _complete 2>/dev/null)" ;;
        monitor) options="--help --system --user --address= --json --color= --no-legend --timeout= --time= --number= --no-body --from= --to= --with= --type= --interface= --member= --path= --errors-only --slower="; arguments="$(omnibusctl _complete 2>/dev/null)" ;;
        capture) options="--help --system --user --address= --json --color= --no-legend --timeout= --write= --megabytes= --seconds= --files= --snaplen= --time= --since= --until= --no-body --perfetto= --from= --to= --with= --type= --interface= --member= --path= --errors-only --slower="; arguments="read" ;;
        graph) options="--help --system --user --address= --json --color= --no-legend --timeout= --time= --read= --min= --no-processes --dot --svg --mermaid --from= --to= --with= --type= --interface= --member= --path= --errors-only --slower="; arguments="" ;;
        latency) options="--help --system --user --address= --json --color= --no-legend --timeout= --time= --read= --from= --to= --with= --type= --interface= --member= --path= --errors-only --slower="; arguments="$(omnibusctl _complete 2>/dev/null)" ;;
        upgrade) options="--help --system --user --address= --json --color= --no-legend --timeout= --all"; arguments="" ;;
        takeover) options="--help --system --address= --json --color= --no-legend --timeout= --dry-run --force --patience= --program= --user= --pid="; arguments="" ;;
        metrics) options="--help --system --user --address= --json --color= --no-legend --timeout= --format= --units --textfile="; arguments="" ;;
        log) options="--help --system --user --address= --json --color= --no-legend --timeout= --since= --until= --kind= --follow"; arguments="" ;;
        log-level) options="--help --system --user --address= --json --color= --no-legend --timeout="; arguments="emerg alert crit err warning notice info debug" ;;
        group) options="--help --system --user --address= --json --color= --no-legend --timeout="; arguments="" ;;
        why) options="--help --system --address= --json --color= --no-legend --timeout= --user= --from= --to-user= --at-console --type= --path= --fds= --unrequested --own= --connect --last= --since= --config="; arguments="$(omnibusctl _complete 2>/dev/null)" ;;
        policy) options="--help --system --address= --json --color= --no-legend --timeout= --user= --name= --at-console --config="; arguments="show map diff $(omnibusctl _complete 2>/dev/null)" ;;
        check) options="--help --system --user --address= --json --color= --no-legend --timeout= --strict --select= --config="; arguments="" ;;
        reload) options="--help --system --user --address= --json --color= --no-legend --timeout= --dry-run --force --config="; arguments="" ;;
        esac
    fi
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -W "$arguments" -- "$current")
    fi
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _omnibusctl omnibusctl
