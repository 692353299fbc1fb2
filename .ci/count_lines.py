"""Print the size of the core: operators, priors and sparsesolve, no applications.

A line of code holds at least one token that is neither a comment nor a docstring.
"""

import ast
import tokenize
from pathlib import Path

GOAL = 6000
ROOT = Path(__file__).resolve().parent.parent
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            first = node.body[0]
            lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def count(path: Path) -> tuple[int, int]:
    """Return the lines of code and all lines of one file."""
    code: set[int] = set()
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type not in NOT_CODE:
                code.update(range(token.start[0], token.end[0] + 1))
    text = path.read_text(encoding="utf-8")
    return len(code - docstring_lines(ast.parse(text))), text.count("\n")


def core_files() -> set[Path]:
    # resolved, so that the links in sparsesolve/ add nothing
    files = {
        path.resolve()
        for folder in ("operators", "priors", "sparsesolve")
        for suffix in ("py", "pyi")
        for path in (ROOT / folder).rglob(f"*.{suffix}")
    }
    outside = (ROOT / "sparsesolve" / "applications", ROOT / "datasets")
    return {f for f in files if not any(f.is_relative_to(o) for o in outside)}


def main() -> None:
    counts = [count(path) for path in core_files()]
    code, total = (sum(column) for column in zip(*counts, strict=True))
    print(
        f"core: {code:,} lines of code in {len(counts)} files ({total:,} with "
        f"docstrings, comments and blank lines); the goal is below {GOAL:,}"
    )


if __name__ == "__main__":
    main()
