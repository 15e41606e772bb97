from __future__ import annotations

import fresh
import pytest

LIBRARIES = ("albumentations", "kornia", "torchvision")


def _run(code: str) -> str:
    return fresh.run(["-c", code], check=True).stdout


def test_importing_the_package_loads_no_library():
    loaded = _run(
        "import sys, fomaug, fomaug.integrations; fomaug.integrations; "
        f"print([name for name in {LIBRARIES} if name in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_a_missing_library_names_its_extra():
    said = _run(
        "import sys, fomaug\n"
        f"for name in {LIBRARIES}:\n"
        "    sys.modules[name] = None\n"
        "    try: getattr(fomaug.integrations, name)\n"
        "    except fomaug.FomaugError as error: print(type(error).__name__, error)"
    )
    for line, library in zip(said.splitlines(), LIBRARIES, strict=True):
        assert line.startswith("MissingExtraError") and f"pip install 'fomaug[{library}]'" in line


def test_an_unknown_adapter_is_an_attribute_error():
    import fomaug.integrations

    with pytest.raises(AttributeError, match="imgaug"):
        fomaug.integrations.imgaug  # noqa: B018
