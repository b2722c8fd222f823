"""What can be wrong with a user's input: one error class each, so that callers can tell them apart.

``str(error)`` names the file, for the command line; ``plain`` is a sentence without paths, for
people who only see the web page.
"""

from configs.errors import DataError, UserError


class VideoUnreadable(DataError):  # noqa: N818 (named by what is wrong, as its siblings)
    """The file is missing, is not a video, or cannot be decoded."""

    plain = "This file cannot be read as a video; give an mp4, mov, mkv or webm file."


class VideoTooLong(DataError):  # noqa: N818
    """More seconds, pixels or bytes than the limits allow."""

    plain = "This video is too long or too large."

    def __init__(self, message: str, plain: str = plain) -> None:
        super().__init__(message)
        self.plain = plain


class NoPerson(DataError):  # noqa: N818
    """The video shows nobody, or not the requested person."""

    plain = (
        "No person was found in this video. It must show one from the front or back, with "
        "shoulders and hips in view."
    )


class GarmentUnreadable(DataError):  # noqa: N818
    """The garment's file is missing, is not a picture, or shows no garment."""

    plain = "This garment file cannot be read as a picture; give a png, jpg or webp file."

    def __init__(self, message: str, plain: str = plain) -> None:
        super().__init__(message)
        self.plain = plain


class RequestError(UserError):
    """A request that the web app rejects: a sentence for the person, a status for the browser.

    Answered as JSON ``{"error": sentence}``; ``status`` is HTTP's.
    """

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def not_found() -> RequestError:
    """The same answer for what does not exist and for what belongs to someone else."""
    return RequestError("This is not here (any more). Files are deleted after a while.", 404)
