"""Imports run one way, and the mathematics never imports TensorFlow."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "tfrecon"

LAYERS = [
    {"typing", "records", "util"},
    {"physics", "nets", "diffusion", "metrics"},
    {"data", "losses"},
    {"methods"},
    {"train", "serve", "report"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
SEPARATE = {"physics", "nets", "diffusion", "metrics"}
"""Layers of one level whose members do not import each other."""

SHARED_BY_METHODS = {"priors"}
"""Packages under `methods` that are no methods, but what several of them are made of."""

TENSORFLOW_FREE = {"typing", "records", "util", "physics", "nets", "diffusion", "losses", "metrics", "methods"}
BACKEND_SWITCHES = {
    "physics/fourier.py",
    "util/complex.py",
    "util/eager.py",
    "util/gradients.py",
    "util/rng.py",
    "methods/score/likelihood.py",
}
ENGINES = {"tensorflow", "jax", "torch", "tensorflow_probability"}


def modules():
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in LEVEL]


def imported_names(path, top_level_only=False):
    """Absolute dotted names that a module imports; relative imports are not used in tfrecon."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(dotted):
    parts = dotted.split(".")
    return parts[1] if parts[0] == "tfrecon" and len(parts) > 1 and parts[1] in LEVEL else None


def own_layer(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def forbidden_edges(path):
    own = own_layer(path)
    for name in imported_names(path):
        other = layer_of(name)
        if other is None:
            continue
        if LEVEL[other] > LEVEL[own] or (own != other and {own, other} <= SEPARATE):
            yield f"{path.relative_to(ROOT)} ({own}) imports {name}"


def test_imports_run_one_way():
    assert [edge for path in modules() for edge in forbidden_edges(path)] == []


def test_the_check_itself_finds_a_wrong_edge(tmp_path, monkeypatch):
    wrong = tmp_path / "physics" / "bad.py"
    wrong.parent.mkdir()
    wrong.write_text("from tfrecon.metrics import psnr\nfrom tfrecon.serve import writers\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert len(list(forbidden_edges(wrong))) == 2


def method_of(name):
    """The package or module under `methods` that a dotted name is in, or None."""
    parts = name.split(".")
    return parts[2] if parts[:2] == ["tfrecon", "methods"] and len(parts) > 2 else None


def wrong_edges_of_methods(path):
    """What a module imports of methods that it may not know.

    Each knows the contract. A method also knows what is shared, and so does what is shared; nothing but a method itself
    knows a method, save reports and command lines.
    """
    relative = path.relative_to(PACKAGE)
    own = relative.parts[1] if relative.parts[0] == "methods" and len(relative.parts) > 2 else None
    known = {"base"} | ({own} | SHARED_BY_METHODS if own else set())
    for name in imported_names(path):
        other = method_of(name)
        if other not in known | {None} and (own or own_layer(path) in ("train", "serve")):
            yield f"{relative} imports {name}"


def test_methods_do_not_import_each_other_and_engines_know_only_the_contract():
    assert [edge for path in modules() for edge in wrong_edges_of_methods(path)] == []


def test_what_methods_share_is_no_method():
    for name in SHARED_BY_METHODS:
        files = sorted((PACKAGE / "methods" / name).glob("*.py"))
        assert files and not any("register_method" in path.read_text() for path in files)


def test_the_check_of_methods_finds_wrong_edges(tmp_path, monkeypatch):
    sources = {
        "methods/one/a.py": ["methods.priors.sampling", "methods.base", "methods.one.b", "methods.two.c"],
        "methods/priors/d.py": ["methods.priors.options", "methods.base", "methods.one.a"],
        "train/e.py": ["methods.base", "methods.priors.options", "methods.one.a"],
        "report/f.py": ["methods.one.a"],
    }
    for name, imports in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("".join(f"import tfrecon.{one}\n" for one in imports))
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    found = [edge for path in modules() for edge in wrong_edges_of_methods(path)]
    assert found == [
        "methods/one/a.py imports tfrecon.methods.two.c",
        "methods/priors/d.py imports tfrecon.methods.one.a",
        "train/e.py imports tfrecon.methods.priors.options",
        "train/e.py imports tfrecon.methods.one.a",
    ]


def test_mathematics_is_free_of_tensorflow():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in modules()
        if own_layer(path) in TENSORFLOW_FREE and path.relative_to(PACKAGE).as_posix() not in BACKEND_SWITCHES
        for name in imported_names(path)
        if name.split(".")[0] in ENGINES
    ]
    assert wrong == []


def test_only_fourier_calls_an_fft():
    wrong = []
    for path in modules():
        if path.relative_to(PACKAGE).as_posix() == "physics/fourier.py":
            continue
        for name in imported_names(path):
            if "fft" in name.split(".")[1:] and not name.startswith("tfrecon"):
                wrong.append(f"{path}: {name}")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "fft":
                wrong.append(f"{path}: {ast.unparse(node)}")
    assert wrong == []


@pytest.mark.parametrize("statement", ["import tfrecon", "import tfrecon.cli.main"])
def test_light_imports(statement):
    code = f"{statement}\nimport sys\nprint(sorted({{'tensorflow', 'keras', 'jax'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_and_functions_stay_small():
    long = []
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tools").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        text = path.read_text()
        if text.count("\n") > 400:
            long.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                doc = len((ast.get_docstring(node, clean=False) or "").splitlines())
                if node.end_lineno - node.lineno + 1 - doc > 40:
                    long.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert long == []
