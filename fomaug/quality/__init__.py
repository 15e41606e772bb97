"""Quality: scores of animated pictures, and gates that bad ones do not pass."""

from fomaug.quality._gates import Gates as Gates
from fomaug.quality._gates import judge as judge
from fomaug.quality._scores import Embed as Embed
from fomaug.quality._scores import Scores as Scores
from fomaug.quality._scores import score as score

__all__ = ["Embed", "Gates", "Scores", "judge", "score"]
