import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import synth_estimators

ROOT = Path(synth_estimators.__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints"

pytestmark = pytest.mark.skipif(
    not CONSTRAINTS.is_dir(), reason="only a checkout has the build files"
)


@pytest.fixture(scope="module")
def install():
    spec = importlib.util.spec_from_file_location("install", CONSTRAINTS / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pinned_names():
    lines = (CONSTRAINTS / "base.txt").read_text(encoding="utf-8").splitlines()
    return {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}


@pytest.mark.parametrize("extras", [["plot"], ["test"], ["docs"], ["plot", "peers"]])
def test_every_requirement_of_a_make_target_is_pinned(install, extras):
    names = {install.distribution(line).lower() for line in install.requirements(extras)}
    assert sorted(names - pinned_names() - {"pandas", "setuptools"}) == []


def test_requirements_resolve_extras_of_the_package(install):
    names = {install.distribution(line) for line in install.requirements(["test"])}
    assert {"pytest", "matplotlib", "pyarrow", "dask"} <= names
    assert "synth-estimators" not in names


@pytest.mark.skipif(sys.platform == "darwin", reason="no lighter xgboost on macOS")
def test_environments_take_the_lighter_xgboost(install):
    lines = install.requirements([])
    assert "xgboost-cpu>=2" in lines
    assert "xgboost>=2" not in lines


def test_unknown_extra_is_refused(install):
    with pytest.raises(SystemExit, match="Unknown extra 'plots'"):
        install.requirements(["plots"])


@pytest.mark.parametrize("name", ["tested.txt", "pandas3.txt"])
def test_both_sets_of_constraints_pin_one_torch(install, name):
    assert re.fullmatch(r"torch==[\d.]+", install.torch_pin(CONSTRAINTS / name))


def test_fingerprint_changes_with_the_requirements(install):
    tested = CONSTRAINTS / "tested.txt"
    first = install.fingerprint(["numpy>=2"], tested)
    assert first == install.fingerprint(["numpy>=2"], tested)
    assert first != install.fingerprint(["numpy>=2.1"], tested)


def test_environment_that_cannot_start_is_noticed(install, tmp_path):
    python = tmp_path / "bin" / "python"
    assert not install.works(python)
    python.parent.mkdir()
    python.write_text("#!/bin/false\n")
    python.chmod(0o755)
    assert not install.works(python)


def test_moved_environment_is_noticed(install, tmp_path):
    assert not install.moved(tmp_path)
    (tmp_path / "home").write_text(str(tmp_path.resolve()), encoding="utf-8")
    assert not install.moved(tmp_path)
    (tmp_path / "home").write_text("/elsewhere", encoding="utf-8")
    assert install.moved(tmp_path)


def test_every_extra_of_the_package_exists(project):
    extras = project["optional-dependencies"]
    for lines in extras.values():
        for line in lines:
            own = re.fullmatch(r"synth-estimators\[(.+)\]", line)
            if own:
                assert set(own.group(1).split(",")) <= set(extras)


def test_py_typed_stands_in_the_package():
    assert (ROOT / "synth_estimators" / "py.typed").is_file()


def test_install_script_runs_without_any_installed_package():
    command = [sys.executable, "-I", str(CONSTRAINTS / "install.py"), "--help"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
