"""Image and video files: every kind read, written whole or not at all, marked as synthetic."""

from fomaug._files import append_line as append_line
from fomaug._files import is_temporary as is_temporary
from fomaug._files import replacing as replacing
from fomaug._files import write_file as write_file
from fomaug.writers._image import encode_image as encode_image
from fomaug.writers._image import save_image as save_image
from fomaug.writers._image import sidecar_of as sidecar_of
from fomaug.writers._image import suffix_formats as suffix_formats
from fomaug.writers._provenance import Provenance as Provenance
from fomaug.writers._provenance import SourceType as SourceType
from fomaug.writers._read import Picture as Picture
from fomaug.writers._read import decode_picture as decode_picture
from fomaug.writers._read import read_picture as read_picture
from fomaug.writers._sheet import contact_sheet as contact_sheet
from fomaug.writers._suffix import check_suffix as check_suffix
from fomaug.writers._verify import Mark as Mark
from fomaug.writers._verify import read_mark as read_mark
from fomaug.writers._video import VideoWriter as VideoWriter
from fomaug.writers._video import open_video as open_video

__all__ = [
    "Provenance",
    "SourceType",
    "Picture",
    "read_picture",
    "decode_picture",
    "save_image",
    "encode_image",
    "sidecar_of",
    "suffix_formats",
    "check_suffix",
    "VideoWriter",
    "open_video",
    "Mark",
    "read_mark",
    "contact_sheet",
    "write_file",
    "append_line",
    "replacing",
    "is_temporary",
]
