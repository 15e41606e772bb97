"""Measuring models: how fast they are, how well they rebuild clips."""

from fomaug.evaluation._bench import Bench as Bench
from fomaug.evaluation._bench import Timing as Timing
from fomaug.evaluation._bench import bench as bench
from fomaug.evaluation._bench import official_animator as official_animator
from fomaug.evaluation._comparison import comparison_video as comparison_video
from fomaug.evaluation._measures import Extractors as Extractors
from fomaug.evaluation._reconstruct import Figure as Figure
from fomaug.evaluation._reconstruct import Reconstruction as Reconstruction
from fomaug.evaluation._reconstruct import reconstruct as reconstruct
from fomaug.evaluation._similarity import l1 as l1
from fomaug.evaluation._similarity import ms_ssim as ms_ssim
from fomaug.evaluation._similarity import psnr as psnr
from fomaug.evaluation._similarity import ssim as ssim

__all__ = [
    "Bench",
    "Extractors",
    "Figure",
    "Reconstruction",
    "Timing",
    "bench",
    "comparison_video",
    "l1",
    "ms_ssim",
    "official_animator",
    "psnr",
    "reconstruct",
    "ssim",
]
