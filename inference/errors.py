"""What can be wrong with what a person gave: an error class each, so that callers can tell.

``str(error)`` names the file, for the command line; ``plain`` is a sentence without paths, for
those who have never seen one.
"""

from configs.errors import DataError


class VideoUnreadable(DataError):  # noqa: N818 (named by what is wrong, as its siblings)
    """The file is missing, no video, or cannot be decoded."""

    plain = "This file is no video that can be read; an mp4, mov, mkv or webm file is expected."


class VideoTooLong(DataError):  # noqa: N818
    """More seconds, pixels or bytes than the limits allow."""

    plain = "This video is too long or too large."

    def __init__(self, message: str, plain: str = plain) -> None:
        super().__init__(message)
        self.plain = plain


class NoPerson(DataError):  # noqa: N818
    """Nobody is in the video, or not the one who was asked for."""

    plain = (
        "No person was found in this video. One must be seen from the front or back, with "
        "shoulders and hips in view."
    )


class GarmentUnreadable(DataError):  # noqa: N818
    """The garment's file is missing, no picture, or shows nothing to put on."""

    plain = "This garment file is no picture that can be read; a png, jpg or webp file is expected."

    def __init__(self, message: str, plain: str = plain) -> None:
        super().__init__(message)
        self.plain = plain
