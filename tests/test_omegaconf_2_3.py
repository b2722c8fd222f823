"""detectron2 brings OmegaConf 2.3: every settings file loads under it, too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OLDER = ("omegaconf==2.3.1", "antlr4-python3-runtime==4.9.*")


@pytest.mark.slow
def test_settings_load_under_the_omegaconf_that_detectron2_brings(tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run([*install, str(tmp_path), *OLDER], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("the package index cannot be reached")
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider",
         "tests/test_loading.py", "tests/test_configs.py", "tests/training/cli/test_excerpts.py"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-2000:]
    shown = subprocess.run(
        [sys.executable, "-c", "import omegaconf; print(omegaconf.__version__)"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.strip() == "2.3.1"
