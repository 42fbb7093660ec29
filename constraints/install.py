"""Build a virtual environment that holds the package and chosen extras, at tested versions.

Called by the Makefile; safe to call again: a finished environment is recognised in a fraction of a
second, one that was interrupted is built anew.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Distributions that stand in for a dependency of the package: the same modules, without the GPU
# library of 300 MB. Their wheels exist for Linux and Windows.
LIGHTER = {} if sys.platform == "darwin" else {"xgboost": "xgboost-cpu"}


def main():
    """Read the command line and leave a complete environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints" / "tested.txt")
    parser.add_argument("--extras", default="", help="extras of the package, with commas between")
    parser.add_argument("--torch-index", default="", help="address of an index of CPU builds")
    args = parser.parse_args()
    extras = sorted(filter(None, args.extras.split(",")))
    wanted = requirements(extras)
    python = args.venv / "bin" / "python"
    stamps = args.venv / "installed"
    stamp = stamps / fingerprint(wanted, args.constraints)
    unfinished = args.venv / "unfinished"

    finished = stamp.exists() and not unfinished.exists() and not moved(args.venv)
    if finished and complete(python, wanted):
        return
    if unfinished.exists() or moved(args.venv) or not works(python):
        create(args.venv, python)
    unfinished.touch()
    try:
        install(python, wanted, args.constraints, args.torch_index)
    except subprocess.CalledProcessError as exc:
        if exc.returncode > 0:
            # pip gave up in good order (no network, say): what was there before is whole.
            unfinished.unlink()
        sys.exit(f"Installation failed with status {exc.returncode}; see the lines above.")
    stamps.mkdir(exist_ok=True)
    stamp.touch()
    unfinished.unlink()


def requirements(extras):
    """Requirements of the package with ``extras``, extras of its own resolved."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    table = project["project"]["optional-dependencies"]
    lines = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    queue, seen = list(extras), set()
    while queue:
        extra = queue.pop()
        if extra in seen:
            continue
        seen.add(extra)
        if extra not in table:
            sys.exit(f"Unknown extra {extra!r}; pyproject.toml has {sorted(table)}.")
        for line in table[extra]:
            own = re.fullmatch(rf"{re.escape(project['project']['name'])}\[(.+)\]", line)
            if own:
                queue.extend(name.strip() for name in own.group(1).split(","))
            else:
                lines.append(line)
    return sorted({replace(line) for line in lines})


def replace(line):
    """Requirement with its lighter distribution, where there is one."""
    name = distribution(line)
    return LIGHTER[name] + line[len(name) :] if name in LIGHTER else line


def distribution(line):
    """Name at the start of a requirement."""
    return re.match(r"[A-Za-z0-9._-]+", line).group()


def fingerprint(wanted, constraints):
    """Name of the stamp: changes with the requirements, the constraints and Python."""
    digest = hashlib.sha256(sys.version.encode())
    digest.update("\n".join(wanted).encode())
    for path in sorted({constraints.resolve(), *(ROOT / "constraints").glob("*.txt")}):
        digest.update(path.read_bytes())
    digest.update((ROOT / "pyproject.toml").read_bytes())
    digest.update(str(ROOT).encode())
    return digest.hexdigest()[:16]


def works(python):
    """Whether the interpreter of the environment starts, is the caller's version and has pip."""
    probe = f"import pip, sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    return python.exists() and run_quietly(python, "-c", probe)


def moved(venv):
    """Whether the folder was moved since `create`: the scripts inside hold absolute paths."""
    home = venv / "home"
    return home.exists() and home.read_text(encoding="utf-8") != str(venv.resolve())


def complete(python, wanted):
    """Whether every wanted distribution is still there."""
    names = [*map(distribution, wanted), "synth-estimators"]
    probe = f"from importlib.metadata import version\nfor name in {names!r}: version(name)"
    return works(python) and run_quietly(python, "-c", probe)


def run_quietly(*command):
    """Whether a command runs and exits with status 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def create(venv, python):
    """Make an empty environment, also where Python comes without ensurepip."""
    shutil.rmtree(venv, ignore_errors=True)
    if not run_quietly(sys.executable, "-m", "venv", str(venv)):
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
        subprocess.run([*pip, "--quiet", "--upgrade", "pip"], check=True)
    (venv / "home").write_text(str(venv.resolve()), encoding="utf-8")


def install(python, wanted, constraints, torch_index):
    """Install torch alone, then the other requirements, then the package."""
    environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def pip(*arguments):
        command = [str(python), "-m", "pip", *arguments]
        subprocess.run(command, check=True, env=environ, cwd=ROOT)

    # A CPU build that is found here satisfies every later requirement, so that none of them pulls
    # the build with the GPU libraries.
    index = ["--extra-index-url", torch_index] if torch_index else []
    pin = torch_pin(constraints)
    print(f"Installing {pin} into {python.parents[1]} ...", flush=True)
    pip("install", *([] if sys.stdout.isatty() else ["-qq"]), *index, pin)
    # While the package is there, pip complains that its xgboost is missing.
    pip("uninstall", "-qq", "--yes", "synth-estimators")
    print(f"Installing {len(wanted)} requirements and what they need ...", flush=True)
    pip("install", "-qq", "--constraint", str(constraints.resolve()), *wanted)
    # The requirements are in; --no-deps keeps pip from asking for xgboost beside xgboost-cpu.
    pip("install", "-qq", "--no-deps", "--no-build-isolation", "--editable", ".")


def torch_pin(constraints):
    """Line of the constraints (or of a file they include) that pins torch."""
    for line in constraints.read_text(encoding="utf-8").splitlines():
        if line.startswith("torch=="):
            return line.split("#")[0].strip()
        if line.startswith("-c "):
            pin = torch_pin(constraints.parent / line[3:].strip())
            if pin:
                return pin
    return ""


if __name__ == "__main__":
    main()
