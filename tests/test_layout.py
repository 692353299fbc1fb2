"""The tree is what setup.cfg, the links and the rules of the design say it is."""

import ast
import configparser
import graphlib
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sparsesolve as ss

ROOT = Path(__file__).resolve().parent.parent
LINKED = ("operators", "priors", "datasets")
HEAVY = "cupy h5py matplotlib numba pylops pyproximal skimage torch".split()

# Import direction: a file imports its own layer and those before it. What is not named
# here lies in the middle: losses, problem, the loop, solvers, files.
LAYERS = {
    **dict.fromkeys(("backends", "checks", "kernels", "lanes", "memory"), 0),
    **dict.fromkeys(("separable", "separable_kernels"), 0),
    **dict.fromkeys(("operators", "priors"), 1),
    "applications": 3,
    **dict.fromkeys(("cli", "cli_by_kind", "cli_options"), 4),
    **dict.fromkeys(("cli_channel", "cli_radar", "cli_unmixing"), 4),
    "__main__": 4,
}
MIDDLE = 2


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], cwd=ROOT, capture_output=True, text=True, timeout=200
    )


def source_files() -> dict[str, Path]:
    """Every module of the package by its installed name, through the links."""
    package = ROOT / "sparsesolve"
    folders = [package, *(p for p in package.rglob("*") if p.is_dir())]
    folders += [package / name for name in LINKED]
    files = {path for folder in folders for path in folder.glob("*.py")}
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in files}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


MODULES = source_files()


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_setup_cfg_lists_every_package_folder(setup_cfg):
    listed = setup_cfg["options"]["packages"].split()
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in MODULES.values()}
    assert sorted(listed) == sorted(found)


def test_setup_cfg_maps_each_package_to_its_folder(setup_cfg):
    lines = setup_cfg["options"]["package_dir"].strip().splitlines()
    mapping = dict(line.replace(" ", "").split("=") for line in lines)
    wanted = {"sparsesolve": "sparsesolve"}
    wanted |= {f"sparsesolve.{name}": name for name in LINKED}
    assert mapping == wanted


@pytest.mark.parametrize("name", LINKED)
def test_links_are_relative_and_lead_to_the_folders(name):
    link = ROOT / "sparsesolve" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert link.resolve() == ROOT / name


@pytest.mark.parametrize("name", LINKED)
def test_a_second_copy_is_refused(name):
    run = python("-c", f"import {name}")
    assert run.returncode != 0
    assert f"import sparsesolve.{name}" in run.stderr.splitlines()[-1]


def test_the_version_is_said_once(setup_cfg):
    assert setup_cfg["metadata"]["version"] == "attr: sparsesolve.__version__"
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {ss.__version__}\n" in citation
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == ss.__version__


def test_importing_sparsesolve_loads_nothing_heavy():
    code = f"import sys, sparsesolve; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    run = python("-c", code)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []


def test_no_module_hides_the_function_it_is_named_after():
    # `import sparsesolve.solve` sets the attribute `solve` of the package to the module
    stub = (ROOT / "sparsesolve" / "__init__.pyi").read_text(encoding="utf-8")
    functions = re.findall(r"^from \.(\w+) import \1 as", stub, re.MULTILINE)
    modules = ", ".join(name for name in sorted(MODULES) if "__main__" not in name)
    code = f"import {modules}; ss = sparsesolve\nfor name in {functions}:\n"
    code += "    assert callable(getattr(ss, name)), name"
    run = python("-c", code)
    assert run.returncode == 0, run.stderr


def layer(module: str) -> int:
    """Position of a module of the package in the import direction."""
    return LAYERS.get(module.split(".")[1], MIDDLE)


def for_types_only(node: ast.stmt) -> bool:
    """Whether it is an ``if TYPE_CHECKING:``, which does not run."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(path: Path, *, deep: bool = True) -> set[str]:
    """The package's modules that a file imports; if `deep`, inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [n for n in tree.body if not for_types_only(n)]
    found = set()
    for node in ast.walk(tree) if deep else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} line {node.lineno}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {n if n in MODULES else str(node.module) for n in names}
    return {name for name in found if name.startswith("sparsesolve.")}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"sparsesolve"}))
def test_imports_run_one_way(module):
    backward = {m for m in imported(MODULES[module]) if layer(m) > layer(module)}
    assert not backward, f"{module} imports {backward}, which come after it"


def test_no_module_imports_itself_through_others():
    graph = {name: imported(path, deep=False) for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_file_is_two(module):
    lines = MODULES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= 400, f"{MODULES[module]} has {lines} lines; split it by idea"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_has_a_name_that_says_nothing(module):
    assert module.rsplit(".", 1)[-1] not in {
        "utils",
        "common",
        "helpers",
        "misc",
        "core",
    }


def test_modules_found_are_the_modules_that_import_sees():
    seen = {info.name for info in pkgutil.walk_packages(ss.__path__, "sparsesolve.")}
    assert seen | {"sparsesolve"} == set(MODULES) - {"sparsesolve.__main__"}


PUBLIC = [
    (package.__name__, name)
    for package in (ss, ss.operators, ss.priors, ss.solvers)
    for name in package.__all__
]


@pytest.mark.parametrize(("package", "name"), PUBLIC)
def test_public_names_load_and_are_documented(package, name):
    obj = getattr(importlib.import_module(package), name)
    assert inspect.getdoc(obj)
    if not inspect.isclass(obj):
        return
    # What a class overrides is documented once, in its base.
    new = {m for m in vars(obj) if not any(hasattr(b, m) for b in obj.__bases__)}
    for member in sorted(m for m in new if not m.startswith("_")):
        value = getattr(obj, member)
        if inspect.isroutine(value) or isinstance(value, property):
            assert inspect.getdoc(value), f"{package}.{name}.{member}"


@pytest.mark.parametrize("package", [ss.operators, ss.priors, ss.solvers])
def test_every_public_class_is_made_in_the_table_of_cases(package):
    table = (ROOT / "tests" / "cases.py").read_text(encoding="utf-8")
    made = set(re.findall(r"\bss\.(?:operators\.|priors\.|solvers\.)?(\w+)\(", table))
    public = {name: getattr(package, name) for name in package.__all__}
    bases = ss.operators.Operator, ss.priors.Prior, ss.priors.HierarchicalPrior
    bases = (*bases, ss.solvers.Solver, ss.priors.Sum)  # a sum is made by +
    concrete = {
        name
        for name, obj in public.items()
        if inspect.isclass(obj) and issubclass(obj, bases) and obj not in bases
    }
    assert len(concrete) >= 4
    assert concrete <= made
