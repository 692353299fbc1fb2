"""What the README and CONTRIBUTING show runs, and does what they say."""

import re
from pathlib import Path

import numpy as np
import pytest

import sparsesolve as ss

ROOT = Path(__file__).resolve().parent.parent


def python_blocks(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(block: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(block, "<block>", "exec"), names)
    return names


def test_the_lines_in_the_readme_find_the_two_points(capsys):
    (block,) = python_blocks("README.md")
    assert len([line for line in block.splitlines() if line.strip()]) <= 22
    names = run(block)
    found = np.argsort(np.abs(names["solution"].x), axis=None)[-2:]
    assert set(found) == set(np.flatnonzero(names["scene"]))
    assert capsys.readouterr().out.count("\n") == 1


def test_the_operator_in_contributing_obeys_the_contract():
    (block,) = python_blocks("CONTRIBUTING.md")
    ss.testing.check_operator(run(block)["Scaling"](3.0, (4, 5)))


def test_the_exact_inverse_in_the_contracts_is_exact():
    (block,) = python_blocks("docs/contracts.md")
    names = run(block)
    A, w, u = names["Flip"](5), np.ones(5), np.arange(5.0)
    x, image, _ = names["ss"].linalg.regularized_inverse(A).solve(w, u, 0.5)
    np.testing.assert_allclose(x, (u[::-1] + 0.5 * w) / 1.5)
    np.testing.assert_allclose(image, A(x))


@pytest.mark.parametrize("package", [ss.operators, ss.priors, ss.solvers])
def test_every_name_in_the_table_exists(package):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| `")]
    column = [ss.operators, ss.priors, ss.solvers].index(package)
    names = [n for row in rows for n in re.findall(r"`([A-Z]\w+)`", row[column])]
    assert len(names) >= 5
    assert set(names) <= set(package.__all__)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert not missing
