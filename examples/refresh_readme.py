"""Run the commands whose output the README shows and put the output in its place.

    python examples/refresh_readme.py DATA [WORD ...]

A block ``<!-- output of: COMMAND -->`` is followed by what COMMAND prints; ``DATA`` in a command is the folder given.
With words, only those blocks and figures are made anew whose command has one of them: some take half an hour.
A line ``<!-- figure of: COMMAND: FILE -->`` says that the next picture is FILE in the run folder of COMMAND.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- output of: (?P<command>.+?) -->\n)(?P<shown>.*?)(<!-- end -->)", re.DOTALL)
FIGURE = re.compile(r"<!-- figure of: (?P<command>.+?): (?P<file>\S+) -->\s*!\[[^\]]*\]\((?P<picture>\S+)\)")
REPORT_LINE = re.compile(r"^report .*\n", re.MULTILINE)


def printed(command: str, data: str) -> str:
    """What a command prints, in a folder of its own; the name of the run folder, which is a time, is left out."""
    arguments = [sys.executable if word == "python" else word for word in shlex.split(command)]
    if arguments[0] == "gapkit":
        arguments[:1] = [sys.executable, "-m", "gapkit"]
    arguments = [word.replace("DATA", data).replace("examples/", f"{README.parent}/examples/") for word in arguments]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(arguments, cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603
    return REPORT_LINE.sub("", done.stdout)


def drawn(command: str, file: str) -> bytes:
    """A file in the run folder of a command."""
    with tempfile.TemporaryDirectory() as folder:
        printed(f"{command} --out {folder}/run --quiet", "")
        return (Path(folder) / "run" / file).read_bytes()


def block(output: str) -> str:
    """Output as Markdown: tables as they are, everything else as text."""
    return output if output.startswith("|") else f"```text\n{output.rstrip()}\n```\n"


def main() -> None:
    """Rewrite the README."""
    data, words = str(Path(sys.argv[1]).resolve()), sys.argv[2:]
    text = README.read_text(encoding="utf-8")

    def wanted(match: re.Match[str]) -> bool:
        return not words or any(word in match["command"] for word in words)

    def fresh(match: re.Match[str]) -> str:
        if not wanted(match):
            return match[0]
        return f"{match[1]}\n{block(printed(match['command'], data))}\n{match[4]}"

    README.write_text(BLOCK.sub(fresh, text), encoding="utf-8")
    for figure in filter(wanted, FIGURE.finditer(text)):
        (README.parent / figure["picture"]).write_bytes(drawn(figure["command"], figure["file"]))


if __name__ == "__main__":
    main()
