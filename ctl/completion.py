"""Completions for shells, made of the same parsers as the command line: files that start nothing.

Names of connections are the exception: ``omnibusctl _complete`` asks the bus for them.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

GLOBAL: Final = (
    "--system",
    "--user",
    "--address=",
    "--json",
    "--color=",
    "--no-legend",
    "--timeout=",
    "--help",
)
WITH_NAME: Final = ("name", "names", "destination")


class Word(NamedTuple):
    """A verb: its options with their help, the choices of its first argument, and whether that is a name."""

    verb: str
    summary: str
    options: tuple[tuple[str, str], ...]
    choices: tuple[str, ...]
    takes_name: bool


def words(verbs: dict[str, str], parser_of: Callable[[str], ArgumentParser]) -> Iterator[Word]:
    """Yield all verbs."""
    for verb, summary in verbs.items():
        options: list[tuple[str, str]] = []
        choices: tuple[str, ...] = ()
        takes_name = False
        for action in parser_of(verb)._actions:
            if action.option_strings:
                last = action.option_strings[-1]
                flag = last if action.nargs == 0 else f"{last}="
                options.append((flag, action.help or ""))
            elif action.choices and not choices:
                choices = tuple(map(str, action.choices))
            takes_name |= action.dest in WITH_NAME and not action.option_strings
        yield Word(verb, summary, tuple(options), tuple(choices), takes_name)


def bash(found: list[Word]) -> str:
    """Return a script for bash, which zsh reads by bashcompinit."""
    cases = []
    for word in found:
        options = " ".join(flag for flag, _ in word.options)
        arguments = " ".join(word.choices) + (
            " $(omnibusctl _complete 2>/dev/null)" if word.takes_name else ""
        )
        cases.append(f'        {word.verb}) options="{options}"; arguments="{arguments.strip()}" ;;')
    verbs = " ".join(word.verb for word in found)
    return f"""# omnibusctl(1)
_omnibusctl() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} verb= word options= arguments=
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in
        -*) ;;
        *) verb=$word; break ;;
        esac
    done
    if [[ -z $verb ]]; then
        options="{" ".join(GLOBAL)}"
        arguments="{verbs} help"
    else
        case $verb in
{chr(10).join(cases)}
        esac
    fi
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -W "$arguments" -- "$current")
    fi
    [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}}
complete -o default -F _omnibusctl omnibusctl
"""


def zsh(found: list[Word]) -> str:
    """Return a script for zsh."""
    return "#compdef omnibusctl\nautoload -U +X bashcompinit && bashcompinit\n" + bash(found).replace(
        "mapfile -t COMPREPLY < <(", "COMPREPLY=($("
    ).replace('-- "$current")', '-- "$current"))')


def fish(found: list[Word]) -> str:
    """Return a script for fish."""
    verbs = " ".join(word.verb for word in found)
    none = f"not __fish_seen_subcommand_from {verbs} help"
    lines = ["complete -c omnibusctl -f"]
    for flag in GLOBAL:
        lines.append(f"complete -c omnibusctl -n '{none}' {_fish_flag(flag)}")
    for word in found:
        seen = f"__fish_seen_subcommand_from {word.verb}"
        lines.append(f"complete -c omnibusctl -n '{none}' -a {word.verb} -d {_fish(word.summary)}")
        for flag, text in word.options:
            lines.append(f"complete -c omnibusctl -n '{seen}' {_fish_flag(flag)} -d {_fish(text)}")
        for choice in word.choices:
            lines.append(f"complete -c omnibusctl -n '{seen}' -a {choice}")
        if word.takes_name:
            lines.append(f"complete -c omnibusctl -n '{seen}' -a '(omnibusctl _complete 2>/dev/null)'")
    return "\n".join(lines) + "\n"


def _fish_flag(flag: str) -> str:
    name = flag.lstrip("-").rstrip("=")
    kind = "-l" if flag.startswith("--") else "-s"
    return f"{kind} {name}" + (" -r" if flag.endswith("=") else "")


def _fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SHELLS: Final = {"bash": bash, "zsh": zsh, "fish": fish}
