"""A request that is not granted: a status for the browser and a sentence for the person."""

from configs.errors import UserError


class Refusal(UserError):  # noqa: N818 (what it is, not what went wrong)
    """Answered as JSON ``{"error": sentence}``; ``status`` is HTTP's."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def not_here() -> Refusal:
    """What does not exist and what belongs to someone else get the same answer."""
    return Refusal("This is not here (any more). Files are removed after a while.", 404)
