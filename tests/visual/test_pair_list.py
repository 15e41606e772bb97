from __future__ import annotations

from pathlib import Path

import pytest

from fomaug.errors import ArgumentError, MediaError
from fomaug.visual import Pair, read_pairs


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_list_or_the_root(tmp_path: Path) -> None:
    path = written(tmp_path, "source,driving\na.png,clips/b.mp4\n/c.png, d.mp4\n")
    assert read_pairs(path) == [
        Pair(tmp_path / "a.png", tmp_path / "clips" / "b.mp4"),
        Pair(Path("/c.png"), tmp_path / "d.mp4"),
    ]
    assert read_pairs(path, root="/data")[0] == Pair(Path("/data/a.png"), Path("/data/clips/b.mp4"))


def test_other_columns_are_options_or_ignored(tmp_path: Path) -> None:
    text = (
        "distance,source,driving,frame,out,strength,region,reference,face,relative,max_frames\n"
        '0.1,a,b,7,x.gif,0.5,mouth,3,"1,2,30,40",no,9\n'
        "0.2,a,c,8,,,,,,,\n"
        ",,,,,,,,,,\n"
    )
    special, plain = read_pairs(written(tmp_path, text))
    assert special.out == "x.gif"
    assert special.options == {
        "strength": 0.5,
        "region": "mouth",
        "reference": 3,
        "face": (1, 2, 30, 40),
        "relative": False,
        "max_frames": 9,
    }
    assert plain == Pair(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the columns source and driving"),
        ("source,clip\na,b\n", "lacks driving: 'source', 'clip'"),
        ("source,driving\n", "has no rows"),
        ("source,driving,strenght\na,b,1\n", "has a column 'strenght'; did you mean 'strength'"),
        ("source,driving\na,b\nc,\n", "line 3: both source and driving must be given"),
        ("source,driving,region\na,b,mouht\n", "line 2: region must be one of .*did you mean 'mouth'"),
        ("source,driving,strength\na,b,half\n", "line 2: could not convert string to float: 'half'"),
        ("source,driving,relative\na,b,maybe\n", "line 2: relative must be true or false, got 'maybe'"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        read_pairs(written(tmp_path, text))


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"pairs .*no\.csv cannot be read \(No such file"):
        read_pairs(tmp_path / "no.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81source")
    with pytest.raises(MediaError, match=r"binary\.csv is not a CSV file in UTF-8"):
        read_pairs(tmp_path / "binary.csv")
