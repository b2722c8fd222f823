"""What can be wrong with a user's input: one error class each, so that callers can tell them apart.

``str(error)`` names the file, for the command line; ``plain`` is a sentence without paths, for
people who only see the web page.
"""

from configs.errors import DataError, UserError


class InputError(DataError):
    """Base of the others."""

    plain: str

    def __init__(self, message: str, plain: str | None = None) -> None:
        super().__init__(message)
        self.plain = plain or self.plain


class VideoUnreadable(InputError):  # noqa: N818 (named by what is wrong, as its siblings)
    """The file is missing, is not a video, or cannot be decoded."""

    plain = "This file cannot be read as a video; give an mp4, mov, mkv or webm file."


class VideoTooLong(InputError):  # noqa: N818
    """The video is longer than the limits allow."""

    plain = "This video is too long."


class NoPerson(InputError):  # noqa: N818
    """The video shows nobody, or not the requested person."""

    plain = (
        "No person was found in this video. It must show one from the front or back, with "
        "shoulders and hips in view."
    )


class GarmentUnreadable(InputError):  # noqa: N818
    """The garment's file is missing, is not a picture, or shows no garment."""

    plain = "This garment file cannot be read as a picture; give a png, jpg or webp file."


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
