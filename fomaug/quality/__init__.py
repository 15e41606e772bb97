"""Quality: scores of animated images, and gates that reject images with bad scores."""

from fomaug.quality.gates import Embed as Embed
from fomaug.quality.gates import Gates as Gates
from fomaug.quality.gates import Scores as Scores
from fomaug.quality.gates import judge as judge
from fomaug.quality.gates import score as score

__all__ = ["Embed", "Gates", "Scores", "judge", "score"]
