"""Measuring models: how fast they are, how well they rebuild and animate clips."""

from fomaug.evaluation._bench import Bench as Bench
from fomaug.evaluation._bench import Timing as Timing
from fomaug.evaluation._bench import bench as bench
from fomaug.evaluation._bench import official_animator as official_animator

__all__ = ["Bench", "Timing", "bench", "official_animator"]
