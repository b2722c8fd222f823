"""Operations of single products: the formulas in the table of ``flops.py``."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Operations of a forward pass, its backward pass, and recomputation in it."""

    forward: float = 0.0
    backward: float = 0.0
    recomputed: float = 0.0

    @property
    def total(self) -> float:
        """All operations."""
        return self.forward + self.backward + self.recomputed

    @property
    def useful(self) -> float:
        """Operations without recomputation, as used for MFU."""
        return self.forward + self.backward

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(
            forward=self.forward + other.forward,
            backward=self.backward + other.backward,
            recomputed=self.recomputed + other.recomputed,
        )

    def __mul__(self, times: float) -> "Flops":
        return Flops(
            forward=self.forward * times,
            backward=self.backward * times,
            recomputed=self.recomputed * times,
        )


def linear(tokens: float, wide_in: int, wide_out: int, *, learns: bool, carries: bool) -> Flops:
    """A linear layer, or a convolution whose kernel is its stride."""
    product = 2.0 * tokens * wide_in * wide_out
    return Flops(forward=product, backward=product * (learns + carries))


def attention(pairs: float, width: int, *, carries: bool) -> Flops:
    """Scores and weighted sum over ``pairs`` of a query and a key; ``width`` of all heads."""
    product = 4.0 * pairs * width
    return Flops(forward=product, backward=2 * product * carries)


def reading(tokens: float, width: int, *, carries: bool) -> Flops:
    """Bilinear readings of ``width`` numbers for each token: a weighted sum of four neighbours."""
    product = 8.0 * tokens * width
    return Flops(forward=product, backward=2 * product * carries)
