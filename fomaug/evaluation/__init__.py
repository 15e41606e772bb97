"""Evaluation of models: speed, memory, and the quality of reconstructed clips."""

from fomaug.evaluation.measures import Extractors as Extractors
from fomaug.evaluation.measures import l1 as l1
from fomaug.evaluation.measures import ms_ssim as ms_ssim
from fomaug.evaluation.measures import psnr as psnr
from fomaug.evaluation.measures import ssim as ssim
from fomaug.evaluation.reconstruction import Figure as Figure
from fomaug.evaluation.reconstruction import Reconstruction as Reconstruction
from fomaug.evaluation.reconstruction import comparison_video as comparison_video
from fomaug.evaluation.reconstruction import reconstruct as reconstruct
from fomaug.evaluation.speed import Bench as Bench
from fomaug.evaluation.speed import Timing as Timing
from fomaug.evaluation.speed import bench as bench
from fomaug.evaluation.speed import official_animator as official_animator

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
