"""Pictures and clips: read and written, whole or not at all, and marked as synthetic."""

from fomaug.media.clips import Clip as Clip
from fomaug.media.clips import DamagedClipWarning as DamagedClipWarning
from fomaug.media.clips import Sound as Sound
from fomaug.media.clips import clip_sound as clip_sound
from fomaug.media.clips import find_clips as find_clips
from fomaug.media.clips import is_clip as is_clip
from fomaug.media.clips import read_clip as read_clip
from fomaug.media.formats import EXPAND_SUMMARY as EXPAND_SUMMARY
from fomaug.media.formats import MASK_FORMATS as MASK_FORMATS
from fomaug.media.formats import PICTURE_FORMATS as PICTURE_FORMATS
from fomaug.media.formats import FolderKeys as FolderKeys
from fomaug.media.formats import check_suffix as check_suffix
from fomaug.media.formats import digest_sizes as digest_sizes
from fomaug.media.formats import file_size as file_size
from fomaug.media.formats import is_expanded as is_expanded
from fomaug.media.formats import list_pictures as list_pictures
from fomaug.media.formats import read_suffixes as read_suffixes
from fomaug.media.formats import unread_suffixes as unread_suffixes
from fomaug.media.formats import why_unread as why_unread
from fomaug.media.frames import Frame as Frame
from fomaug.media.frames import to_rgb as to_rgb
from fomaug.media.opening import DAMAGE as DAMAGE
from fomaug.media.opening import MediaInput as MediaInput
from fomaug.media.opening import on_disk as on_disk
from fomaug.media.opening import open_picture as open_picture
from fomaug.media.picture import Picture as Picture
from fomaug.media.picture import check_mode as check_mode
from fomaug.media.picture import decode_picture as decode_picture
from fomaug.media.picture import from_unit as from_unit
from fomaug.media.picture import like_array as like_array
from fomaug.media.picture import read_picture as read_picture
from fomaug.media.picture import to_array as to_array
from fomaug.media.picture import to_tensor as to_tensor
from fomaug.media.picture import to_unit as to_unit
from fomaug.media.picture import upright_size as upright_size
from fomaug.media.picture import written_format as written_format
from fomaug.media.provenance import Mark as Mark
from fomaug.media.provenance import Provenance as Provenance
from fomaug.media.provenance import SourceType as SourceType
from fomaug.media.provenance import read_mark as read_mark
from fomaug.media.provenance import sidecar_of as sidecar_of
from fomaug.media.stills import folder_pictures as folder_pictures
from fomaug.media.stills import read_frame as read_frame
from fomaug.media.writing import VideoWriter as VideoWriter
from fomaug.media.writing import contact_sheet as contact_sheet
from fomaug.media.writing import encode_image as encode_image
from fomaug.media.writing import open_video as open_video
from fomaug.media.writing import save_image as save_image
from fomaug.media.writing import suffix_formats as suffix_formats
from fomaug.media.writing import thumbnail as thumbnail

__all__ = [
    "Clip",
    "DamagedClipWarning",
    "find_clips",
    "is_clip",
    "read_clip",
    "to_rgb",
    "Frame",
    "encode_image",
    "save_image",
    "sidecar_of",
    "suffix_formats",
    "EXPAND_SUMMARY",
    "FolderKeys",
    "digest_sizes",
    "file_size",
    "is_expanded",
    "list_pictures",
    "MASK_FORMATS",
    "PICTURE_FORMATS",
    "MediaInput",
    "on_disk",
    "read_suffixes",
    "unread_suffixes",
    "why_unread",
    "DAMAGE",
    "open_picture",
    "Picture",
    "check_mode",
    "decode_picture",
    "read_picture",
    "upright_size",
    "written_format",
    "Provenance",
    "SourceType",
    "contact_sheet",
    "thumbnail",
    "Sound",
    "clip_sound",
    "folder_pictures",
    "read_frame",
    "check_suffix",
    "from_unit",
    "like_array",
    "to_array",
    "to_tensor",
    "to_unit",
    "Mark",
    "read_mark",
    "VideoWriter",
    "open_video",
]
