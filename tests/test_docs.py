"""The documentation does not rot: commands compose, links lead somewhere, the example works."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from their_package import install

import freqexp
from bench.results import FILES, OPENING, TABLE
from freqexp.composing.compose import collect

ROOT = Path(freqexp.__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDE = ROOT / "docs" / "add_a_method.md"
COMMAND = re.compile(r"python -m (?P<module>[a-z]+(?:\.[a-z_]+)*)(?P<arguments>[^\n`#]*)")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
# What a person has to fill in stands in capitals or is left open.
PLACEHOLDER = re.compile(r"=[A-Z][A-Z_]+\b|\.\.\.|<|\[")
# A folder that a training on the pages makes, and what keeps that training to one step.
TRAINING = re.compile(
    r"python -m freqexp.train adapt(?P<arguments>.* adapt\.out=(?P<out>outputs/\S+))"
)
ONE_STEP = [
    "steps=1",
    "shapes=[[1,2]]",
    "conversations=1",
    "per_pass=1",
    "held=1",
    "start_lessons=1",
]
# Defined by the worked example alone.
EXAMPLE_OPTION = "variance_prune"
OUTSIDE_OPTION = "spread"


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands() -> list[tuple[str, str, str]]:
    """(page, module, arguments) of every `python -m` in the pages, each once a page."""
    found = [
        (name(page), match["module"], match["arguments"].strip())
        for page in PAGES
        for match in COMMAND.finditer(page.read_text())
    ]
    return list(dict.fromkeys(found))


def runs() -> list[tuple[str, str]]:
    """(page, arguments) of the runs that need nothing filled in."""
    return [
        (page, arguments)
        for page, module, arguments in commands()
        if module == "freqexp.run"
        and EXAMPLE_OPTION not in arguments
        and OUTSIDE_OPTION not in arguments
        and not PLACEHOLDER.search(arguments)
        and not {"--help", "--version", "--cfg"} & set(arguments.split())
    ]


def test_the_pages_hold_commands() -> None:
    assert {"README.md", "docs/results.md"} <= {page for page, _ in runs()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Puts a folder that was trained for one step where arguments name one that a page trains."""
    trainings = {
        match["out"]: shlex.split(match["arguments"])
        for page in PAGES
        for match in TRAINING.finditer(page.read_text().replace("\\\n", " "))
    }
    made: dict[str, str] = {}

    def replaced(arguments: str) -> str:
        for out in [out for out in trainings if out in arguments]:
            if out not in made:
                made[out] = str(tmp_path_factory.mktemp("trained"))
                short = [*trainings[out], *(f"adapt.{each}" for each in ONE_STEP)]
                command = ["freqexp.train", "adapt", *short, f"adapt.out={made[out]}"]
                subprocess.run([sys.executable, "-m", *command], check=True, cwd=ROOT)
            arguments = arguments.replace(out, made[out])
        return arguments

    return replaced


@pytest.mark.parametrize(("page", "arguments"), runs())
def test_every_run_composes(
    page: str, arguments: str, tmp_path: Path, trained: Callable[[str], str]
) -> None:
    assert collect([*shlex.split(trained(arguments)), f"output_dir={tmp_path}"])


@pytest.mark.parametrize("module", sorted({module for _, module, _ in commands()}))
def test_every_module_exists(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^ {4}(?:[A-Z_]+=\S+ )*make ([a-z]+)", page.read_text(), re.MULTILINE))
    assert named <= targets
    if name(page) == "README.md":
        assert {"run", "test"} <= named


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for match in LINK.finditer(FENCED.sub("", page.read_text())):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{name(page)}: {match['target']}"
        assert file.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(file), f"{name(page)}: {match['target']}"


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", FILES)
def test_every_table_stands_below_its_command_and_is_filled(page: str) -> None:
    text = (ROOT / page).read_text()
    tables = [match["table"] for match in TABLE.finditer(text)]
    assert tables
    assert len(tables) == len(OPENING.findall(text))
    for table in tables:
        assert re.search(r"commit [0-9a-f]{7}, torch ", table)
        # What others are to be held against: the baseline, or of some arms the best control.
        assert "| none |" in table or "To beat at half of the tokens: " in table


def test_the_readme_says_what_the_results_say() -> None:
    readme = (ROOT / "README.md").read_text()
    results = (ROOT / "docs" / "results.md").read_text()
    figures = re.findall(r"\d\.\d{3}(?: \[[^\]]+\])?|[\d.]+ [KM]iB", readme)
    assert len(figures) > 8
    assert [figure for figure in figures if figure not in results] == []


def test_figures_are_small() -> None:
    for figure in (ROOT / "docs" / "figures").iterdir():
        assert figure.stat().st_size < 150_000


def guide_blocks() -> list[tuple[str, str]]:
    """(language, text) of the code blocks of the worked example."""
    return re.findall(r"^```(\w+)\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the worked example's three steps done as the page says."""
    copy = tmp_path_factory.mktemp("example")
    unwanted = shutil.ignore_patterns("__pycache__")
    for folder in ("freqexp", "conf", "launchers"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", copy)
    (_, module), (_, entry), (_, option) = guide_blocks()[:3]
    paths = re.findall(r"^`([^`]+\.(?:py|yaml))`$", GUIDE.read_text(), re.MULTILINE)
    for path, text in zip(paths[:2], (module, option), strict=True):
        assert not (copy / path).exists()
        (copy / path).write_text(text)
    schemas = copy / "freqexp" / "schemas" / "tokens.py"
    schemas.write_text(f"{schemas.read_text()}\n\n{entry}")
    return copy


def run_in(copy: Path, *arguments: str) -> str:
    """What Python prints in the copy, with the copy's package."""
    path = os.pathsep.join([str(copy), str(copy / "launchers")])
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_is_the_copys(example: Path) -> None:
    printed = run_in(example, "-c", "import freqexp; print(freqexp.__file__)")
    assert Path(printed.strip()).is_relative_to(example)


@pytest.mark.slow
def test_the_example_meets_the_conformance_tests(example: Path) -> None:
    printed = run_in(example, "-m", "freqexp.conform", EXAMPLE_OPTION)
    assert f"{EXAMPLE_OPTION} (token): 2 cases, 22 checks, 0 failed" in printed


@pytest.mark.slow
def test_the_example_runs(example: Path) -> None:
    printed = run_in(
        example, "-m", "freqexp.run", "-m", f"compressor={EXAMPLE_OPTION}", "samples=2",
        "keep_ratio=0.5", "tracking=off",
    )  # fmt: skip
    row = next(line for line in printed.splitlines() if line.startswith(EXAMPLE_OPTION))
    assert re.search(r"\b288 -> 144\b", row)


def test_the_example_is_well_kept(example: Path) -> None:
    module, schemas = "freqexp/tokens/variance_prune.py", "freqexp/schemas/tokens.py"
    run_in(example, "-m", "ruff", "format", "--no-cache", "--check", module, schemas)
    run_in(example, "-m", "ruff", "check", "--no-cache", module, schemas)


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to be imported from with the package from outside, installed, and `mine`."""
    folder = tmp_path_factory.mktemp("outside")
    project, module = (text for _, text in guide_blocks()[3:5])
    (folder / "project").mkdir()
    (folder / "project" / "pyproject.toml").write_text(project)
    (folder / "project" / "spread_methods.py").write_text(module)
    install(folder / "site", folder / "project")
    (folder / "mine" / "compressor").mkdir(parents=True)
    (folder / "mine" / "compressor" / "spread.py").write_text(module)
    return folder


def run_beside(folder: Path, *arguments: str) -> str:
    """What Python prints with this package and the modules of a folder."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "launchers"), str(folder)])
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_package_from_outside_conforms_and_runs(spread: Path) -> None:
    said = f"{OUTSIDE_OPTION} (token): 1 cases, 11 checks, 0 failed"
    assert said in run_beside(spread / "site", "-m", "freqexp.conform", OUTSIDE_OPTION)
    mine = ("--config-dir", str(spread / "mine"))
    assert said in run_beside(spread / "none", "-m", "freqexp.conform", OUTSIDE_OPTION, *mine)
    printed = run_beside(
        spread / "site", "-m", "freqexp.run", "-m", f"compressor={OUTSIDE_OPTION}", "samples=2",
        "keep_ratio=0.5", "tracking=off",
    )  # fmt: skip
    row = next(line for line in printed.splitlines() if line.startswith(OUTSIDE_OPTION))
    assert re.search(r"\b288 -> 144\b", row)


def test_the_package_from_outside_is_well_kept(spread: Path) -> None:
    module = spread / "project" / "spread_methods.py"
    settings = ("--no-cache", "--config", str(ROOT / "pyproject.toml"), str(module))
    run_beside(spread, "-m", "ruff", "format", "--check", *settings)
    run_beside(spread, "-m", "ruff", "check", "--ignore=D,T", *settings)
