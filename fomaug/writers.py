"""The old name of `fomaug.media` and `fomaug.files`, for one release."""

from fomaug.imports import moved_names

_MEDIA = (
    "Mark",
    "Picture",
    "Provenance",
    "SourceType",
    "VideoWriter",
    "check_suffix",
    "contact_sheet",
    "decode_picture",
    "encode_image",
    "open_video",
    "read_mark",
    "read_picture",
    "save_image",
    "sidecar_of",
    "suffix_formats",
)
_FILES = ("append_line", "is_temporary", "replacing", "write_file")

__getattr__ = moved_names(__name__, dict.fromkeys(_MEDIA, "fomaug.media") | dict.fromkeys(_FILES, "fomaug.files"))
