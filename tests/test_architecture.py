"""The layout of the code, kept true by tests."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import fresh
import pytest

import fomaug

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fomaug"

HEAVY = (
    "torch",
    "albumentations",
    "kornia",
    "torchvision",
    "av",
    "imageio",
    "tifffile",
    "onnx",
    "pyarrow",
    "scipy",
    "cv2",
)


LOADED = "import sys, json; {}; print(json.dumps(sorted(sys.modules)))"


def loaded_after(statement: str) -> set[str]:
    code = LOADED.format(statement)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in json.loads(found.stdout)}


def loaded_beside_torch(statement: str) -> set[str]:
    found = fresh.run(["-c", LOADED.format(statement)], check=True, cwd=ROOT)
    return {name.split(".")[0] for name in json.loads(found.stdout)}


@pytest.mark.parametrize("statement", ["import fomaug", "import fomaug.cli", "import fomaug.expand.fork_server"])
def test_importing_loads_no_heavy_library(statement: str) -> None:
    assert not loaded_after(statement) & set(HEAVY)


def test_the_core_loads_no_optional_package() -> None:
    everything = "; ".join(f"fomaug.{name}" for name in fomaug.__all__ if name != "__version__")
    optional = {
        "albumentations",
        "kornia",
        "torchvision",
        "onnx",
        "onnxruntime",
        "pyarrow",
        "tensorboard",
        "click",
        "fsspec",
        "ray",
        "datasets",
    }
    assert not loaded_beside_torch(f"import fomaug; {everything}") & optional


def test_imports_go_down_only() -> None:
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run([*command, "--no-cache"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pickles_are_read_in_one_file() -> None:
    pattern = re.compile(r"torch\.load\(|pickle\.loads?\(|allow_pickle=True")
    users = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if pattern.search(path.read_text())]
    assert users == ["weights/pickles.py"]
    assert "weights_only=True" in (PACKAGE / "weights" / "pickles.py").read_text()


def test_files_from_outside_are_opened_in_one_place() -> None:
    """Other functions would wait for a pipe, read a device without end, or start Ghostscript."""
    pattern = re.compile(
        r"\bImage\.open\(|\.read_(bytes|text)\(|\.open\((\"rb?\"|newline|encoding|\))|(?<!def )(?<![.\w])open\("
    )
    openers = (
        "files.py",
        "media/picture_plugin.py",
        "faces/canonical.py",
    )  # the last one reads files of the package
    found = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := [line for line in path.read_text().splitlines() if pattern.search(line)])
        and path.relative_to(PACKAGE).as_posix() not in openers
    }
    assert not found


def test_pictures_and_clips_are_opened_in_one_place() -> None:
    """imageio would search for plugins, addresses and archives, so it receives open files and a plugin in one place."""
    opens = {
        r"\bav\.open\(|from imageio\.v\d import|import imageio\.v": {"media/opening.py"},
        r"cv2\.im(read|write|decode|encode)": {"media/sixteen_bits.py"},
        r"tifffile\.\w+\(": {"media/sixteen_bits.py", "media/picture_plugin.py"},
        r"^(import|from) (imageio|av|cv2|tifffile)\b": {
            *("media/encoder_plugin.py", "media/picture_plugin.py", "media/video_plugin.py"),
        },
    }
    for pattern, allowed in opens.items():
        found = {
            path.relative_to(PACKAGE).as_posix()
            for path in PACKAGE.rglob("*.py")
            if re.search(pattern, path.read_text(), re.MULTILINE)
        }
        assert found == allowed, pattern


def test_importing_media_loads_no_decoder_of_clips() -> None:
    assert not loaded_beside_torch("import fomaug.media") & {"av", "imageio", "cv2", "tifffile"}


def test_public_names_are_those_of_the_design() -> None:
    assert set(fomaug.__all__) >= {
        "Keypoints",
        "Animated",
        "DrivingPool",
        "MotionAugment",
        "MotionParams",
        "load_model",
        "transfer",
        "expand",
        "warp",
        "data",
        "integrations",
    }
    for name in fomaug.__all__:
        assert getattr(fomaug, name) is not None


@pytest.mark.parametrize("name", fomaug._MODULES)
def test_modules_that_the_docs_teach_work_after_importing_fomaug(name: str) -> None:
    done = fresh.run(["-c", f"import fomaug; print(fomaug.{name}.__name__)"], check=True, cwd=ROOT)
    assert done.stdout.strip() == f"fomaug.{name}"


@pytest.mark.parametrize(
    ("old", "name", "new"),
    [
        ("writers", "save_image", "media"),
        ("writers", "write_file", "files"),
        ("driving", "read_clip", "media"),
        ("driving", "face_boxes", "faces"),
        ("augment", "MotionParams", "motion"),
    ],
)
def test_moved_names_warn_in_their_old_module(old: str, name: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"fomaug.{old}.{name} has moved to fomaug.{new}.{name}"):
        found = getattr(importlib.import_module(f"fomaug.{old}"), name)
    assert found is getattr(importlib.import_module(f"fomaug.{new}"), name)


def test_files_inside_packages_have_plain_names() -> None:
    assert not [path for path in PACKAGE.rglob("_*.py") if not path.name.startswith("__")]


def test_files_stay_readable() -> None:
    long = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_the_changelog_has_the_version() -> None:
    assert (
        f"## {fomaug.__version__}" in (ROOT / "CHANGELOG.md").read_text()
        or "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()
    )
