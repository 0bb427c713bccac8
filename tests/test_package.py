"""The walls between the rooms: who may import whom, what must not be loaded, and what the package says about itself.

The rules are checked by reading the source, inside functions too, and by starting a fresh interpreter.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points, packages_distributions, version
from pathlib import Path

import pytest
import yaml

import napari_wavegms

SOURCE = Path(__file__).resolve().parents[1] / "src"
PACKAGE = "napari_wavegms"

# Room -> the rooms of ours that it may import. A module beside the rooms (errors.py, cli.py) counts as a room.
CORE = [
    "errors",
    "wording",
    "storage",
    "model",
    "files",
    "segment",
    "learn",
    "corrections",
    "journal",
    "worklist",
    "finetune",
]
ARROWS: dict[str, set[str]] = {
    "assets": set(),
    "errors": set(),
    "wording": set(),
    "storage": {"errors"},
    "files": {"errors", "wording", "storage"},
    "model": {"errors", "storage", "assets"},
    "segment": {"errors", "wording", "storage", "model", "files"},
    "samples": {"errors", "segment"},
    "exchange": {"errors", "storage", "model", "segment", "samples", "assets"},
    "learn": {"errors", "wording", "storage", "model", "files", "segment"},
    "corrections": {"errors", "storage", "model", "files", "segment", "learn"},
    "journal": {"errors", "storage", "files", "segment", "corrections"},
    "worklist": {"errors", "storage", "files", "segment", "corrections"},
    "finetune": {"errors", "wording", "storage", "model", "files", "segment", "learn", "corrections"},
    "widgets": {*CORE, "samples"},
    "commands": {*CORE, "exchange", "samples", "widgets"},
    "cli": {*CORE, "commands"},
    "__main__": {"cli"},
    "__init__": set(CORE),
}
# The same inside `widgets/`; a module beside the folders (jobs.py) may be used by all of them.
FLOORS: dict[str, set[str]] = {
    "qt": set(),
    "layers": {"qt"},
    "jobs": {"qt"},
    "entry": {"qt", "jobs"},
    "shortcuts": {"qt"},
    "thumbnails": {"qt"},
    "forms": {"qt", "layers", "jobs"},
    "tools": {"qt", "layers", "forms", "jobs", "shortcuts"},
    "worklist": {"qt", "layers", "thumbnails", "shortcuts"},
    "recording": {"qt", "layers", "jobs"},
}
PANEL_MAY_USE = {*FLOORS}
for panel in ("segment", "finetune", "review"):
    FLOORS[panel] = PANEL_MAY_USE
FLOORS["demo_window"] = {*PANEL_MAY_USE, "segment"}
MOST_FILES = 12
WINDOWS = {"napari", "qtpy", "magicgui", "superqt", "vispy", "PyQt5", "PyQt6", "PySide2", "PySide6"}
NETWORKS = {"torch", "diffusers"}


@dataclass(frozen=True)
class Import:
    """One imported module: `module` in full, on `line` of `file`; `at_once` when importing the file runs it."""

    file: Path
    line: int
    module: str
    at_once: bool

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line} imports {self.module}"


@cache
def imports_of(file: Path) -> list[Import]:
    """Every import statement of `file`; those inside functions and under TYPE_CHECKING are not `at_once`."""
    return list(_imports_below(ast.parse(file.read_text(encoding="utf-8"), file), file, at_once=True))


def _imports_below(node: ast.AST, file: Path, *, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(file, child.lineno, alias.name, at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{file}:{child.lineno} has a relative import, which this walk does not follow"
            assert child.module is not None
            yield Import(file, child.lineno, child.module, at_once)
            # `from package import module` imports the module too.
            yield from (Import(file, child.lineno, f"{child.module}.{alias.name}", at_once) for alias in child.names)
        else:
            yield from _imports_below(child, file, at_once=at_once and not _waits(child))


def _waits(node: ast.AST) -> bool:
    """Whether importing the file leaves the body of `node` alone."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test).endswith("TYPE_CHECKING")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def files_of(source: Path) -> list[Path]:
    """Every Python file of the package under `source`."""
    return sorted((source / PACKAGE).rglob("*.py"))


def room_of(file: Path, source: Path) -> str:
    """First name below the package: `model` for model/codec.py, `errors` for errors.py, `__init__` for the package."""
    return file.relative_to(source / PACKAGE).with_suffix("").parts[0]


def strangers(source: Path) -> list[str]:
    """Sentences on the imports of Qt and napari outside `widgets/`, and of napari in `widgets/qt/`."""
    found = []
    for file in files_of(source):
        parts = file.relative_to(source / PACKAGE).parts
        banned = {"napari"} if parts[:2] == ("widgets", "qt") else set() if parts[0] == "widgets" else WINDOWS
        found += [str(item) for item in imports_of(file) if item.module.split(".")[0] in banned]
    return found


def wrong_arrows(source: Path) -> list[str]:
    """Sentences on the imports between our rooms that `ARROWS` and `FLOORS` do not allow."""
    rooms = _wrong(source, files_of(source), PACKAGE, source / PACKAGE, ARROWS)
    widgets = source / PACKAGE / "widgets"
    inside = [file for file in files_of(source) if widgets in file.parents and file != widgets / "__init__.py"]
    return rooms + _wrong(source, inside, f"{PACKAGE}.widgets", widgets, FLOORS)


def _wrong(source: Path, files: list[Path], package: str, folder: Path, table: dict[str, set[str]]) -> list[str]:
    """Sentences on the imports of `files` inside `package` that `table` does not allow."""
    complaints = []
    for file in files:
        room = file.relative_to(folder).with_suffix("").parts[0]
        if room not in table:
            complaints.append(f"{file.name} is in the room '{room}', which the table of {package} does not know")
            continue
        for found in imports_of(file):
            if not found.module.startswith(f"{package}."):
                continue
            target = found.module.removeprefix(f"{package}.").split(".")[0]
            known = target in table or (folder / target).exists()
            if known and target not in table[room] | {room}:
                complaints.append(f"{found}, and {room} must not know {target}")
    return complaints


def full_folders(source: Path) -> list[str]:
    """Folders of the package with more than `MOST_FILES` modules, and how many."""
    count = Counter(file.parent for file in files_of(source) if file.name != "__init__.py")
    return [f"{folder.name}: {number}" for folder, number in count.items() if number > MOST_FILES]


def loads_at_once(file: Path, source: Path, seen: set[Path] | None = None) -> Iterator[Import]:
    """Every import that importing `file` runs, in it and in the modules of ours that it imports."""
    seen = set() if seen is None else seen
    if file in seen:
        return
    seen.add(file)
    for found in imports_of(file):
        if found.at_once:
            yield found
            for ours in _own_files(found.module, source):
                yield from loads_at_once(ours, source, seen)


def _own_files(module: str, source: Path) -> Iterator[Path]:
    """Files of ours that importing `module` runs: the module and the packages it is in."""
    parts = module.split(".") if module.startswith(PACKAGE) else []
    for count in range(1, len(parts) + 1):
        base = source.joinpath(*parts[:count])
        yield from (path for path in (base / "__init__.py", base.with_suffix(".py")) if path.exists())


def heavy_widgets(source: Path) -> list[str]:
    """Sentences on what makes importing a module of `widgets/` import torch or diffusers."""
    widgets = (file for file in files_of(source) if room_of(file, source) == "widgets")
    return [
        f"importing {file.name}: {found}"
        for file in widgets
        for found in loads_at_once(file, source)
        if found.module.split(".")[0] in NETWORKS
    ]


def test_only_the_widgets_know_napari_and_qt() -> None:
    assert strangers(SOURCE) == []


def test_the_rooms_import_in_one_direction() -> None:
    assert wrong_arrows(SOURCE) == []


def test_no_folder_is_full() -> None:
    assert full_folders(SOURCE) == []


def test_no_widget_imports_torch_before_a_job_starts() -> None:
    assert heavy_widgets(SOURCE) == []


def write_package(source: Path, **files: str) -> Path:
    """Make a tiny package under `source`: `widgets__panel="import torch"` writes widgets/panel.py."""
    for name, text in {"__init__": "", **files}.items():
        path = source / PACKAGE / f"{name.replace('__', '/') if name != '__init__' else name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return source


def test_the_walk_finds_napari_outside_the_widgets(tmp_path: Path) -> None:
    inside_a_function = "def show():\n    from napari.layers import Labels\n    return Labels\n"
    write_package(
        tmp_path, files__masks=inside_a_function, widgets__panel="import napari", widgets__qt__fold="import napari"
    )
    assert "masks.py:2 imports napari.layers" in strangers(tmp_path)
    assert "fold.py:1 imports napari" in strangers(tmp_path)
    assert not any("panel.py" in sentence for sentence in strangers(tmp_path))


def test_a_full_folder_is_found(tmp_path: Path) -> None:
    write_package(tmp_path, **{f"model__m{number}": "" for number in range(MOST_FILES + 1)})
    assert full_folders(tmp_path) == [f"model: {MOST_FILES + 1}"]


@pytest.mark.parametrize(
    ("room", "statement"),
    [
        ("model__codec", "from napari_wavegms.segment.preprocessing import prepare"),
        ("model__zoo", "from napari_wavegms import segment"),
        ("files__masks", "def f():\n    import napari_wavegms.learn.metrics"),
        ("segment__tiling", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import napari_wavegms.journal"),
        ("widgets__tools__box", "from napari_wavegms.widgets.segment.panel import Panel"),
        ("widgets__qt__fold", "from napari_wavegms.widgets import layers"),
        ("learn__trainer", "from napari_wavegms.widgets.panel import Panel"),
        ("helpers", "import os"),
    ],
)
def test_the_walk_finds_an_arrow_that_points_backwards(tmp_path: Path, room: str, statement: str) -> None:
    write_package(tmp_path, segment__images="", learn__metrics="", journal____init__="", **{room: statement})
    assert len(wrong_arrows(tmp_path)) >= 1


def test_the_walk_lets_arrows_point_forwards(tmp_path: Path) -> None:
    forwards = "from napari_wavegms.model.codec import load_codec\nfrom napari_wavegms.errors import InputError\n"
    assert wrong_arrows(write_package(tmp_path, model__codec="import torch", segment__images=forwards)) == []


def test_the_walk_finds_torch_behind_two_modules(tmp_path: Path) -> None:
    write_package(
        tmp_path,
        widgets__panel="from napari_wavegms.segment import segmenter",
        segment__segmenter="import napari_wavegms.model.codec",
        model__codec="if True:\n    import torch",
    )
    assert "importing panel.py: codec.py:2 imports torch" in heavy_widgets(tmp_path)


def test_the_walk_allows_torch_inside_a_job(tmp_path: Path) -> None:
    later = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef job():\n    import torch\n"
    assert heavy_widgets(write_package(tmp_path, widgets__panel=later)) == []


def loaded_by(*statements: str) -> list[set[str]]:
    """Top-level names of all modules that a fresh interpreter has loaded after each of the `statements`."""
    tell = "import sys, json; print('loaded', json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    code = "\n".join(f"{each}\n{tell}" for each in statements)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    told = [line.removeprefix("loaded ") for line in run.stdout.splitlines() if line.startswith("loaded ")]
    return [set(json.loads(line)) for line in told]


def python_names() -> list[str]:
    """Every `module:name` that the manifest asks napari to import."""
    manifest = yaml.safe_load((SOURCE / PACKAGE / "napari.yaml").read_text(encoding="utf-8"))
    return [command["python_name"] for command in manifest["contributions"]["commands"]]


def fetch(names: list[str]) -> str:
    """Python that imports each `module:name` as napari does."""
    return "\n".join("from {} import {}".format(*name.split(":")) for name in names)


def test_the_package_loads_nothing_heavy_its_samples_and_writers_no_window_and_its_panels_no_torch() -> None:
    windowless = [name for name in python_names() if not name.startswith(f"{PACKAGE}.widgets")]
    assert windowless, "the manifest has samples and writers"
    steps = (f"import {PACKAGE}", fetch(windowless), fetch(python_names()), "import numpy")
    package, commands, all_commands, with_numpy = loaded_by(*steps)
    assert package & (NETWORKS | WINDOWS | {"numpy", "scipy", "skimage"}) == set()
    assert commands & (NETWORKS | WINDOWS | {"scipy", "skimage"}) == set()
    assert all_commands & NETWORKS == set()
    assert {PACKAGE, "numpy"} <= with_numpy, "it tells what is loaded"


QT_BINDINGS = {"pyqt5", "pyqt6", "pyside2", "pyside6"}


def third_party() -> set[str]:
    """Distributions whose modules the package imports, somewhere."""
    found = {item.module.split(".")[0] for file in files_of(SOURCE) for item in imports_of(file)}
    homes = packages_distributions()
    return {canonical(homes[name][0]) for name in found - {PACKAGE, "__future__"} - set(sys.stdlib_module_names)}


def canonical(requirement: str) -> str:
    """Name of a distribution as everybody writes it: `pillow` for "Pillow>=11.0"."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base = set(map(canonical, project["dependencies"]))
    extras = {name: set(map(canonical, needed)) for name, needed in project["optional-dependencies"].items()}
    # With imagecodecs, napari's own reader, too, opens packed TIFFs, and with gdcm pydicom opens packed DICOM files;
    # torch's exporter imports onnx.
    used = ("all", "cluster", "medical", "onnx", "zarr")
    assert third_party() - base == set().union(*(extras[name] for name in used)) - base - {
        "imagecodecs",
        "onnx",
        "python-gdcm",
    }
    assert base - third_party() == set()
    assert base & QT_BINDINGS == set(), "the Qt binding is the choice of whoever installs napari"
    every = [*project["dependencies"], *(one for needed in project["optional-dependencies"].values() for one in needed)]
    assert [requirement for requirement in every if "==" in requirement] == []
    pinned = set(map(canonical, (SOURCE.parent / "constraints.txt").read_text(encoding="utf-8").splitlines()))
    assert (base | extras["medical"] | extras["dev"]) - pinned == {"napari-wavegms"}


def test_napari_finds_the_manifest_of_the_installed_package() -> None:
    found = [entry.value for entry in entry_points(group="napari.manifest") if entry.name == "napari-wavegms"]
    assert found == ["napari_wavegms:napari.yaml"]


def test_the_version_is_the_installed_one() -> None:
    assert napari_wavegms.__version__ == version("napari-wavegms")


def test_weights_manifest_and_icon_are_installed() -> None:
    def files_in(folder: Path) -> set[Path]:
        return {
            path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        }

    installed = files_in(Path(napari_wavegms.__file__).parent)
    assert Path("napari.yaml") in installed
    assert files_in(SOURCE / PACKAGE) - installed == set()


@pytest.mark.parametrize("name", napari_wavegms.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    public = getattr(napari_wavegms, name)
    assert public.__name__ == name
    assert name in dir(napari_wavegms)
    assert public.__doc__
    if not (isinstance(public, type) and issubclass(public, Exception)):
        assert ">>> " in inspect.getsource(public), "an example, which tests/test_docstrings.py runs"
    assert f"`{name}`" in (SOURCE.parent / "docs" / "api.md").read_text(encoding="utf-8")


def test_public_names_are_sorted_and_known_to_type_checkers() -> None:
    promised = {
        alias.name
        for node in ast.parse((SOURCE / PACKAGE / "__init__.pyi").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(napari_wavegms.__all__) == list(napari_wavegms.__all__)
    assert set(napari_wavegms.__all__) == promised


def test_a_name_nobody_promised_is_refused() -> None:
    with pytest.raises(AttributeError, match="attribute Segmentor"):
        _ = napari_wavegms.Segmentor


MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:home|root|Users|work|workspace|tmp|mnt|opt)/|\b[A-Za-z]:\\\w")


def machine_paths(source: Path) -> list[str]:
    """Places in the package that name a folder of somebody's machine."""
    texts = [path for path in (source / PACKAGE).rglob("*") if path.suffix in {".py", ".yaml", ".md", ".json"}]
    return [
        f"{path.name}:{number}"
        for path in sorted(texts)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]


def test_no_line_names_a_folder_of_somebodys_machine() -> None:
    assert machine_paths(SOURCE) == []


@pytest.mark.parametrize("path", ["/home/ann/scan.png", "/" + "work/data", r"C:\Users\ann", "/Users/ann/x"])
def test_a_folder_of_somebodys_machine_would_be_found(tmp_path: Path, path: str) -> None:
    write_package(tmp_path, samples=f"# fine\nsource = r'{path}'\n")
    assert machine_paths(tmp_path) == ["samples.py:2"]
