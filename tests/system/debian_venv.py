"""maa in a virtual environment of Debian's own Python, where every user can read it.

Other Pythons may be installed in somebody's home, and a server that is no longer root could not
load the rest of its modules from there.
"""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

from .server import ROOT

PYTHON = Path("/usr/bin/python3")


def made(folder: Path) -> Path:
    """Its folder of programs, with maa as it is now."""
    subprocess.run([PYTHON, "-m", "venv", folder], check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    install = [folder / "bin/python", "-m", "pip", "install", "--quiet"]
    command = [*install, "--disable-pip-version-check", "--prefer-binary", *project["dependencies"]]
    subprocess.run(command, check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    shutil.copytree(ROOT / "maa", packages / "maa")
    shutil.copy(ROOT / "twisted/plugins/maa_plugin.py", packages / "twisted/plugins")
    (packages / "twisted/plugins/dropin.cache").unlink(missing_ok=True)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return folder / "bin"
