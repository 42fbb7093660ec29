import importlib
import re
from pathlib import Path

import pytest

import synth_estimators

ROOT = Path(synth_estimators.__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGES = [
    "autoencoders",
    "base",
    "baselines",
    "batch_effects",
    "compose",
    "datasets",
    "inspection",
    "metrics",
    "model_selection",
    "pipeline",
    "preprocessing",
    "report",
    "tabular",
    "utils",
    "utils.estimator_checks",
]

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="only a checkout has the documentation")


def documented_names():
    names, module, listing = [], None, False
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        found = re.match(r"\.\. currentmodule:: (\S+)", line)
        if found:
            module = found.group(1)
        elif line.startswith(".. autosummary::"):
            listing = True
        elif listing and (entry := re.match(r" {3}([\w.]+)$", line)):
            names.append(f"{module}.{entry.group(1)}")
        elif line.strip() and not line.startswith(" "):
            listing = False
    return names


def public_names():
    names = set()
    for package in PACKAGES:
        module = importlib.import_module(f"synth_estimators.{package}")
        names |= {f"{module.__name__}.{name}" for name in module.__all__}
    return names


def test_api_page_lists_every_public_name():
    assert sorted(public_names() - set(documented_names())) == []


def test_api_page_lists_nothing_else_and_nothing_twice():
    names = documented_names()
    assert sorted(set(names) - public_names()) == []
    assert len(names) == len(set(names))


def test_top_level_names_are_those_of_the_packages():
    documented = {name.rpartition(".")[2] for name in documented_names()}
    assert sorted(set(synth_estimators.__all__) - documented - {"__version__"}) == []


def test_every_user_guide_link_of_a_docstring_has_its_target():
    targets = set()
    for page in DOCS.rglob("*.rst"):
        targets |= set(re.findall(r"^\.\. _([\w-]+):", page.read_text(encoding="utf-8"), re.M))
    links = set()
    for source in (ROOT / "synth_estimators").rglob("*.py"):
        links |= set(re.findall(r":ref:`[^`]*<([\w-]+)>`", source.read_text(encoding="utf-8")))
    assert links
    assert sorted(links - targets) == []


def test_changelog_has_the_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{synth_estimators.__version__}]" in changelog
