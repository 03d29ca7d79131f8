"""An import goes down the layers, never up, and never in a circle."""

import ast
import graphlib
from pathlib import Path

import evospace.errors

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "seeding", "registry", "reading", "settings_file"),
    ("ops", "devices"),
    ("space",),
    ("cost", "sampling", "config"),
    ("supernet",),
    ("cost.count", "cost.network_cost"),
    ("data",),
    ("training",),
    ("estimation",),
    ("strategies",),
    ("report", "runs", "deploy"),
    ("profiling",),
    ("problem", "workbench"),
    ("result", "score_book", "round_storage", "lab_round", "lab", "forecast", "networks"),
    ("experiment",),
    ("search_command",),
    ("extension", "plan"),
    ("show", "show_latency", "retraining", "evaluation", "export"),
    ("study",),
    ("testing", "cli_arguments", "cli_networks", "cli_study", "cli", "__main__"),
    ("",),  # the package itself: its public names
)
"""From low to high; modules of one layer may import each other, in no circle. The longest prefix counts."""

ROOT = Path(evospace.errors.__file__).parent
FILES = {
    ".".join(("evospace", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
LEVEL = {f"evospace.{name}".rstrip("."): level for level, names in enumerate(LAYERS) for name in names}


def level(module: str) -> int:
    prefix = module
    while prefix not in LEVEL:
        prefix = prefix.rpartition(".")[0]
    assert prefix != "evospace" or module == "evospace", f"{module} has no layer; give it one in LAYERS"
    return LEVEL[prefix]


def run_on_import(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that run when a module is imported: not those in functions or under TYPE_CHECKING."""
    found: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        found.append(statement)
        guarded = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)
        for field in ("orelse",) if guarded else ("body", "orelse", "finalbody", "handlers"):
            for inner in getattr(statement, field, []):
                found += run_on_import(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])
    return found


def imports(module: str) -> set[str]:
    """The modules of the package that importing `module` imports by name."""
    names: set[str] = set()
    for statement in run_on_import(ast.parse(FILES[module].read_text(encoding="utf-8")).body):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            assert not statement.level, f"{module}: write imports in full, not relative"
            parts = {f"{statement.module}.{alias.name}" for alias in statement.names}
            names |= {part if part in FILES else str(statement.module) for part in parts}
    return {name for name in names if name in FILES} - {module}


GRAPH = {module: imports(module) for module in sorted(FILES)}


def test_no_import_goes_up() -> None:
    upwards = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in sorted(others)
        if level(other) > level(module)
    ]
    assert not upwards, "\n".join(upwards)


def test_no_import_goes_in_a_circle() -> None:
    try:
        graphlib.TopologicalSorter(GRAPH).prepare()
    except graphlib.CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


def reached(module: str) -> set[str]:
    """What importing `module` runs of the package: what it imports, and the packages around that, as far as it goes."""
    found, new = set[str](), {module}
    while new:
        found |= new
        parents = {name.rpartition(".")[0] for name in new} & FILES.keys()
        new = (parents | {other for name in new for other in GRAPH[name]}) - found
    return found


def loads_torch(module: str) -> bool:
    roots: set[str] = set()
    for statement in run_on_import(ast.parse(FILES[module].read_text(encoding="utf-8")).body):
        if isinstance(statement, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            roots.add(str(statement.module).partition(".")[0])
    return bool(roots & {"torch", "torchvision", "timm"})


def test_what_promises_to_do_without_torch_does() -> None:
    texts = {module: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for module, path in FILES.items()}
    promised = [module for module, text in texts.items() if text and "o torch here" in text]
    assert len(promised) > 40
    broken = {module: sorted(filter(loads_torch, reached(module))) for module in promised}
    assert not {module: by for module, by in broken.items() if by}


def test_the_graph_was_read() -> None:
    assert "evospace.errors" in GRAPH["evospace.registry"]
    assert "evospace.ops.operations" in GRAPH["evospace.ops.build"]
    assert not GRAPH["evospace.errors"]


def test_only_what_runs_on_import_counts() -> None:
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import a
else:
    import b
try:
    import c
except ImportError:
    import d
class C:
    import e
    def f(self):
        import g
"""
    found = [s for s in run_on_import(ast.parse(source).body) if isinstance(s, ast.Import)]
    assert [s.names[0].name for s in found] == ["b", "c", "d", "e"]
