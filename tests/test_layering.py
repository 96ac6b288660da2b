"""The rules of the house, read from the sources: which module may import which, where torch stands, names, sizes."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ORDER = (
    {"errors", "memory", "threads"},
    {"specs"},
    {"data", "metrics", "stats"},
    {"nn"},
    {"hooks"},
    {"benchbase"},  # the package's own __init__: offers names of those before it, and of later ones lazily
    {"registry"},
    {"config"},
    {"assemble"},
    {"train", "evaluate", "checkpoint"},
    {"tune"},
    {"runner"},
    {"leaderboard"},
    {"testing"},
    {"cli"},
)
RANK = {layer: rank for rank, layers in enumerate(ORDER) for layer in layers}
MAY_MIX = {"train", "evaluate", "checkpoint"}
NUMBERS_ONLY = {"metrics": {"errors"}, "stats": {"errors", "metrics"}}  # neither data nor nn
WITH_TORCH = {"nn", "assemble", "train", "evaluate", "checkpoint", "tune", "testing"}
# these packages and modules
OPEN_TO_PLUGINS = {"errors", "data", "nn", "metrics", "data.batches", "data.sequences", "data.table",
                   "data.lines"}
OPEN_TO_TESTS = {"errors", "data", "nn", "metrics", "specs", "testing"}  # with all modules in them
FOREIGN_NAMES = re.compile(
    r"movie_?lens|(?<![a-z])ml[-_]?1m|kuairand|amazon|sasrec|bert4rec|hstu|genrank|causalrec|attnlfa|attnmvp|autocdsr"
    r"|llm4rec|gru4rec|foursquare|gowalla|c2dsr|tri-?cdr|syncrec|disencdr|(?-i:\bCAUSE\b)",
    re.IGNORECASE,
)
LONGEST_FUNCTION, LONGEST_MODULE = 80, 500
HEAVY = ("torch", "pandas", "scipy")


@dataclass(frozen=True)
class Import:
    """One imported module or name: `package` is absolute, `name` empty for `import package`."""

    module: str
    package: str
    name: str
    line: int
    typing: bool = False
    function: str = ""

    @property
    def where(self) -> str:
        return f"{self.module}:{self.line}"

    def resolve(self, modules: Iterable[str]) -> str:
        """The module of ours that is imported; `package` itself where it is none of ours."""
        known = set(modules)
        parts = [*self.package.split("."), *([self.name] if self.name else [])]
        for end in range(len(parts), 0, -1):
            if (candidate := ".".join(parts[:end])) in known:
                return candidate
        return self.package


class _Imports(ast.NodeVisitor):
    def __init__(self, module: str, is_package: bool) -> None:
        self.module, self.found = module, []
        self.package = module if is_package else module.rpartition(".")[0]
        self.typing, self.functions = False, []

    def _add(self, package: str, name: str, line: int) -> None:
        function = self.functions[0] if self.functions else ""
        self.found.append(Import(self.module, package, name, line, self.typing, function))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, "", node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        package = node.module or ""
        if node.level:
            above = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
            package = ".".join([*above, *([package] if package else [])])
        for alias in node.names:
            self._add(package, alias.name, node.lineno)

    def visit_If(self, node: ast.If) -> None:
        before = self.typing
        self.typing = before or ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for child in node.body:
            self.visit(child)
        self.typing = before
        for child in node.orelse:
            self.visit(child)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.functions.append(node.name)
        self.generic_visit(node)
        self.functions.pop()

    visit_AsyncFunctionDef = visit_FunctionDef


def imports_of(module: str, source: str, is_package: bool = False) -> list[Import]:
    visitor = _Imports(module, is_package)
    visitor.visit(ast.parse(source))
    return visitor.found


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def is_lazy_root(item: Import) -> bool:
    """What the package's own __init__ promises but loads only on demand."""
    return item.module == "benchbase" and (item.typing or item.function == "__getattr__")


def layer_problems(item: Import, modules: Iterable[str]) -> list[str]:
    """What is wrong with one import of a module of the core."""
    if item.package.split(".")[0].startswith("benchbase_"):
        return [f"{item.where}: the core imports the plugin {item.package}"]
    target = item.resolve(modules)
    if target.split(".")[0] != "benchbase" or is_lazy_root(item):
        return []
    here, there = layer(item.module), layer(target)
    if missing := {here, there} - set(RANK):
        return [f"{item.where}: {min(missing)} has no place in the order of layers"]
    if here == there or {here, there} <= MAY_MIX:
        return []
    if here in NUMBERS_ONLY:
        return [] if there in NUMBERS_ONLY[here] else [f"{item.where}: {here} imports {target}, not open to it"]
    if there == "testing" and not item.function:
        return [f"{item.where}: testing is imported before it is needed"]
    if RANK[there] >= RANK[here]:
        return [f"{item.where}: {here} imports {target}, an upward edge"]
    return []


def torch_problems(item: Import) -> list[str]:
    """torch outside of its layers, at whatever depth it is imported."""
    allowed = layer(item.module) in WITH_TORCH or (item.module + ".").startswith("benchbase.data.batches.")
    if item.package.split(".")[0] == "torch" and not allowed:
        return [f"{item.where}: torch is imported outside of its layers"]
    return []


def cycles(items: Iterable[Import], modules: Iterable[str]) -> list[str]:
    """Modules that import one another, one line for each such group; imports for type checkers alone do not count."""
    known = set(modules)
    edges: dict[str, set[str]] = {module: set() for module in known}
    for item in items:
        target = item.resolve(known)
        if target in known and target != item.module and not item.typing and not is_lazy_root(item):
            edges[item.module].add(target)
    reach = {module: _reachable(module, edges) for module in known}
    groups = {frozenset(m for m in reach[module] if module in reach[m]) for module in known if module in reach[module]}
    return sorted("cycle: " + ", ".join(sorted(group)) for group in groups)


def _reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        if (module := waiting.pop()) not in seen:
            seen.add(module)
            waiting.extend(edges[module])
    return seen


def public_names(source: str) -> set[str]:
    """`__all__`, or where there is none the names defined at the top without an underscore."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = [target.id for target in targets if isinstance(target, ast.Name)]
        if "__all__" in named:
            return set(ast.literal_eval(node.value))
        names.update(named)
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
    return {name for name in names if not name.startswith("_")}


def plugin_problems(item: Import, public: Mapping[str, set[str]], test: bool = False) -> list[str]:
    """What is wrong with one import of a plugin; `public` holds the names each open package of the core offers."""
    top, _, below = item.package.partition(".")
    own = item.module.split(".")[0]
    if top.startswith("benchbase_") and top != own:
        return [f"{item.where}: imports another plugin, {top}"]
    if top != "benchbase" or (test and (below or item.name).split(".")[0] in OPEN_TO_TESTS):
        return []
    if not below and (not item.name or item.name in OPEN_TO_PLUGINS or item.name in public["benchbase"]):
        return []
    if below in OPEN_TO_PLUGINS and (not item.name or item.name in public[f"benchbase.{below}"]):
        return []
    wanted = f"{item.package}.{item.name}" if item.name else item.package
    return [f"{item.where}: {wanted} is not open to plugins"]


def name_problems(where: str, text: str) -> list[str]:
    """Papers, techniques and data sets by name."""
    return [f"{where}:{text.count(chr(10), 0, found.start()) + 1}: {found.group()!r} has no place in the core"
            for found in FOREIGN_NAMES.finditer(text)]


def house_problems(where: str, source: str) -> list[str]:
    """Bare `except`, long functions, long modules."""
    problems = []
    if (lines := source.count("\n")) > LONGEST_MODULE:
        problems.append(f"{where}: {lines} lines, more than {LONGEST_MODULE}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            problems.append(f"{where}:{node.lineno}: bare except")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                problems.append(f"{where}:{node.lineno}: {node.name} has {length} lines, more than {LONGEST_FUNCTION}")
    return problems


# The sources at hand


def python_files(folder: Path) -> dict[str, Path]:
    """Modules below a package folder by their dotted name; a package by its own."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def read_imports(files: Mapping[str, Path]) -> list[Import]:
    return [item for module, path in files.items()
            for item in imports_of(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")]


CORE = python_files(ROOT / "benchbase")
PLUGIN_FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))


def package_of(folder: Path) -> Path:
    return folder / f"benchbase_{folder.name}"


def report(problems: Iterable[str]) -> None:
    assert not (listed := sorted(set(problems))), "\n" + "\n".join(listed)


def test_the_core_is_found() -> None:
    assert {"benchbase", "benchbase.errors", "benchbase.specs", "benchbase.data"} <= set(CORE)


def test_imports_of_the_core_go_one_way() -> None:
    report(problem for item in read_imports(CORE) for problem in layer_problems(item, CORE))


def test_the_core_has_no_import_cycles() -> None:
    report(cycles(read_imports(CORE), CORE))


def test_torch_stands_only_in_its_layers() -> None:
    report(problem for item in read_imports(CORE) for problem in torch_problems(item))


def test_the_core_names_no_paper_technique_or_data_set() -> None:
    problems = []
    for path in sorted((ROOT / "benchbase").rglob("*")):
        where = str(path.relative_to(ROOT))
        if path.is_file() and "__pycache__" not in path.parts:
            problems += name_problems(where, where) + name_problems(where, path.read_text("utf-8", errors="ignore"))
    report(problems)


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS, ids=lambda folder: folder.name)
def test_a_plugin_imports_only_what_is_open_to_it(folder: Path) -> None:
    public = {name: public_names(CORE[name].read_text(encoding="utf-8"))
              for name in ("benchbase", *(f"benchbase.{layer}" for layer in OPEN_TO_PLUGINS))}
    package = python_files(package_of(folder))
    tests = {f"{package_of(folder).name}.{module}": path for module, path in python_files(folder / "tests").items()}
    assert package, f"{folder}: no package {package_of(folder).name}"
    problems = [problem for item in read_imports(package) for problem in plugin_problems(item, public)]
    problems += [problem for item in read_imports(tests) for problem in plugin_problems(item, public, test=True)]
    at_once = [item for item in read_imports(package) if not item.function]  # `build` imports its module lazily
    report(problems + cycles(at_once, package))


@pytest.mark.parametrize("folder", [ROOT / "benchbase", *map(package_of, PLUGIN_FOLDERS)], ids=lambda path: path.name)
def test_house_rules(folder: Path) -> None:
    report(problem for path in python_files(folder).values()
           for problem in house_problems(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")))


# What importing really loads


def loaded_by(code: str) -> str:
    """Which heavy libraries a fresh interpreter holds after this code."""
    script = f"{code}\nimport sys\nprint('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.rpartition("loaded:")[2].strip()


def test_the_probe_sees_what_is_loaded() -> None:
    assert loaded_by("import scipy") == "scipy"


@pytest.mark.parametrize(
    "module", ["benchbase", "benchbase.data", *sorted({entry.module for entry in entry_points(group="benchbase")})]
)
def test_importing_is_light(module: str) -> None:
    assert loaded_by(f"import {module}") == ""


def test_help_is_light() -> None:
    assert loaded_by("from benchbase.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass") == ""


# The checkers themselves


@pytest.mark.parametrize(("module", "source", "problem"), [
    ("benchbase.errors", "from .specs import Config", "errors imports benchbase.specs, an upward edge"),
    ("benchbase.data.log", "from ..nn import attend", "data imports benchbase.nn, an upward edge"),
    ("benchbase.data.log", "def f():\n    import benchbase.runner.plan", "an upward edge"),
    ("benchbase.data.log", "from .. import registry", "data imports benchbase.registry, an upward edge"),
    ("benchbase.data.log", "from ..metrics import ndcg", "an upward edge"),
    ("benchbase.nn.scorer", "from benchbase import hookimpl", "nn imports benchbase, an upward edge"),
    ("benchbase.specs", "if TYPE_CHECKING:\n    from .data import Log", "an upward edge"),
    ("benchbase.metrics.ranking", "from ..specs import Config", "not open to it"),
    ("benchbase.stats.chance", "from ..data import Log", "stats imports benchbase.data, not open to it"),
    ("benchbase.metrics.ranking", "from ..stats import holm", "not open to it"),
    ("benchbase", "from .runner import run", "benchbase imports benchbase.runner, an upward edge"),
    ("benchbase.train", "from .tune import search", "an upward edge"),
    ("benchbase.cli", "from .testing import check", "before it is needed"),
    ("benchbase.runner", "def f():\n    from .testing import check", "an upward edge"),
    ("benchbase.helpers", "from .errors import BenchbaseError", "helpers has no place"),
    ("benchbase.registry", "from benchbase_toy import specs", "imports the plugin benchbase_toy"),
])  # fmt: skip
def test_a_wrong_import_is_seen(module: str, source: str, problem: str) -> None:
    modules = {f"benchbase.{name}" for name in RANK} | {"benchbase", "benchbase.runner.plan"}
    items = imports_of(module, source, is_package=module == "benchbase")
    found = [text for item in items for text in layer_problems(item, modules)]
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(("module", "source"), [
    ("benchbase.data.log", "from ..errors import BenchbaseError\nfrom .ids import encode\nimport numpy"),
    ("benchbase.train", "from .evaluate import evaluate\nfrom .data import batches"),
    ("benchbase.cli", "def check():\n    from .testing import check"),
    ("benchbase.registry", "from . import __version__"),
    ("benchbase", "if TYPE_CHECKING:\n    from .runner import run"),
    ("benchbase", "def __getattr__(name):\n    from .runner import run"),
    ("benchbase.stats.chance", "from ..metrics import ndcg"),
])  # fmt: skip
def test_a_right_import_is_let_pass(module: str, source: str) -> None:
    modules = {f"benchbase.{name}" for name in RANK} | {"benchbase", "benchbase.data.ids", "benchbase.data.log"}
    assert not [text for item in imports_of(module, source, module == "benchbase")
                for text in layer_problems(item, modules)]


@pytest.mark.parametrize(("module", "source", "wrong"), [
    ("benchbase.specs", "import torch", True),
    ("benchbase.data.log", "def f():\n    from torch.nn import Module", True),
    ("benchbase.runner.one", "class A:\n    def f(self):\n        import torch as t", True),
    ("benchbase.data.batches_of", "import torch", True),
    ("benchbase.data.batches", "import torch", False),
    ("benchbase.nn.attention", "import torch.nn.functional as F", False),
    ("benchbase.specs", "import torchmetrics", False),
])  # fmt: skip
def test_torch_out_of_place_is_seen(module: str, source: str, wrong: bool) -> None:
    assert bool([text for item in imports_of(module, source) for text in torch_problems(item)]) is wrong


def test_a_cycle_is_seen() -> None:
    modules = {"benchbase.a", "benchbase.b", "benchbase.c", "benchbase.d"}
    sources = {"a": "from .b import x", "b": "def f():\n    from . import c", "c": "import benchbase.a",
               "d": "from .a import x"}
    items = [item for name, source in sources.items() for item in imports_of(f"benchbase.{name}", source)]
    assert cycles(items, modules) == ["cycle: benchbase.a, benchbase.b, benchbase.c"]
    assert cycles([item for item in items if item.module != "benchbase.c"], modules) == []
    typing = imports_of("benchbase.a", "if TYPE_CHECKING:\n    from .d import x")
    assert cycles([*imports_of("benchbase.d", sources["d"]), *typing], modules) == []


@pytest.mark.parametrize(("source", "test", "wrong"), [
    ("from benchbase import hookimpl, Config", False, False),
    ("from benchbase import nn\nimport benchbase.data\nfrom benchbase.nn import attend", False, False),
    ("from .model import Model\nfrom benchbase_toy.model import Model\nimport torch", False, False),
    ("from benchbase.testing import BackboneContract", True, False),
    ("from benchbase import testing", True, False),
    ("from benchbase.testing import BackboneContract", False, True),
    ("from benchbase import specs", False, True),
    ("from benchbase.nn import _secret", False, True),
    ("from benchbase.nn import *", False, True),
    ("from benchbase.nn.attention import attend", False, True),
    ("from benchbase.nn.attention import attend", True, False),
    ("from benchbase.data.batches import Batch", False, False),
    ("from benchbase.data.batches import as_tensor", False, True),
    ("def f():\n    from benchbase.runner import run_one", False, True),
    ("import benchbase.registry", True, True),
    ("from benchbase_other import Model", True, True),
])  # fmt: skip
def test_a_plugin_out_of_bounds_is_seen(source: str, test: bool, wrong: bool) -> None:
    public = {"benchbase": {"hookimpl", "Config"}, "benchbase.errors": set(), "benchbase.metrics": set(),
              "benchbase.data": {"Log"}, "benchbase.data.batches": {"Batch"}, "benchbase.nn": {"attend"}}
    items = imports_of("benchbase_toy", source, is_package=True)
    assert bool([text for item in items for text in plugin_problems(item, public, test)]) is wrong


@pytest.mark.parametrize(("source", "names"), [
    ("__all__ = ['a', 'b']\nc = 1", {"a", "b"}),
    ("import os\nLIMIT: int = 1\n_x = 2\nclass A: ...\ndef f(): ...", {"LIMIT", "A", "f"}),
])  # fmt: skip
def test_public_names(source: str, names: set[str]) -> None:
    assert public_names(source) == names


@pytest.mark.parametrize(
    "text", ["# as in SASRec", "movielens_1m = 3", "'ml-1m'", "ML1M", "class HSTUBlock: ...", "(CAUSE)"]
)
def test_a_foreign_name_is_seen(text: str) -> None:
    assert len(name_problems("x.py", "\n" + text)) == 1
    assert name_problems("x.py", "\n" + text)[0].startswith("x.py:2: ")


@pytest.mark.parametrize("text", ["the cause of it", "because", "html-1m", "recall and ndcg"])
def test_a_plain_word_is_let_pass(text: str) -> None:
    assert name_problems("x.py", text) == []


def test_house_rules_are_seen() -> None:
    body = "    x = 1\n"
    assert house_problems("x.py", "def f():\n" + body * (LONGEST_FUNCTION - 1)) == []
    assert "f has 81 lines" in house_problems("x.py", "def f():\n" + body * LONGEST_FUNCTION)[0]
    assert "g has 81 lines" in house_problems("x.py", "async def g():\n" + body * LONGEST_FUNCTION)[0]
    assert house_problems("x.py", "x = 1\n" * LONGEST_MODULE) == []
    assert "501 lines" in house_problems("x.py", "x = 1\n" * (LONGEST_MODULE + 1))[0]
    assert house_problems("x.py", "try:\n    x = 1\nexcept:\n    pass\n") == ["x.py:3: bare except"]
    assert house_problems("x.py", "try:\n    x = 1\nexcept ValueError:\n    pass\n") == []


def test_no_module_of_a_plugin_takes_the_place_of_a_name_in_its_top_module() -> None:
    """Importing `benchbase_x.y` binds `y` in `benchbase_x`: a function of that name would be gone from then on."""
    clashes = []
    for top in ROOT.glob("plugins/*/benchbase_*/__init__.py"):
        tree = ast.parse(top.read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        clashes += [f"{top.parent.name}: {path.stem}" for path in top.parent.glob("*.py") if path.stem in names]
    assert clashes == []
