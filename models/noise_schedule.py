"""All tables derived from a list of betas, computed in float64, read in float32.

Source: Denoising Diffusion Probabilistic Models (Ho et al. 2020), equations 4 to 7; the learned
range of the variance is Improved DDPM's (Nichol and Dhariwal 2021), equation 15.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


class NoiseSchedule:
    """Tables derived from a list of betas; ``index`` refers to that list.

    Every method takes tensors with the batch first and an index (b,) of the same batch.
    """

    def __init__(self, betas: Float[Tensor, " n"]) -> None:
        alphas_cumprod = torch.cumprod(1 - betas, dim=0)
        previous = torch.cat([alphas_cumprod.new_ones(1), alphas_cumprod[:-1]])
        variance = betas * (1 - previous) / (1 - alphas_cumprod)
        self.alphas_cumprod = alphas_cumprod
        self._tables = {
            "alphas_cumprod": alphas_cumprod,
            "alphas_cumprod_previous": previous,
            "signal": alphas_cumprod.sqrt(),
            "noise": (1 - alphas_cumprod).sqrt(),
            "recip_signal": alphas_cumprod.rsqrt(),
            "recip_noise": (1 / alphas_cumprod - 1).sqrt(),
            "mean_of_x0": betas * previous.sqrt() / (1 - alphas_cumprod),
            "mean_of_latents": (1 - previous) * (1 - betas).sqrt() / (1 - alphas_cumprod),
            "log_beta": betas.log(),
            # the posterior of the first step has no width: the second step's is used
            "log_variance": torch.cat([variance[1:2], variance[1:]]).log(),
        }
        self._on_device: dict[torch.device, dict[str, Tensor]] = {}

    def read(
        self, name: str, index: Int[Tensor, " b"], like: Float[Tensor, "b *n"]
    ) -> Float[Tensor, "b *ones"]:
        """Entries of a table, shaped to broadcast against ``like``; float32."""
        if index.device not in self._on_device:
            with torch.inference_mode(False):  # validation may fill it first; training needs it too
                self._on_device[index.device] = {
                    key: table.to(torch.float32).to(index.device)
                    for key, table in self._tables.items()
                }
        entries = self._on_device[index.device][name][index]
        return entries.reshape(-1, *[1] * (like.ndim - 1))

    def q_sample(
        self, latents: Float[Tensor, "b *n"], index: Int[Tensor, " b"], noise: Float[Tensor, "b *n"]
    ) -> Float[Tensor, "b *n"]:
        """Noise clean latents up to a step."""
        return (
            self.read("signal", index, latents) * latents
            + self.read("noise", index, latents) * noise
        )

    def predict_x0(
        self, noise: Float[Tensor, "b *n"], latents: Float[Tensor, "b *n"], index: Int[Tensor, " b"]
    ) -> Float[Tensor, "b *n"]:
        """Clean latents, if ``noise`` is what is in ``latents``; not clipped."""
        return (
            self.read("recip_signal", index, latents) * latents
            - self.read("recip_noise", index, latents) * noise
        )

    def posterior_mean(
        self, x0: Float[Tensor, "b *n"], latents: Float[Tensor, "b *n"], index: Int[Tensor, " b"]
    ) -> Float[Tensor, "b *n"]:
        """Mean of q(x_{i-1} | x_i, x_0)."""
        return (
            self.read("mean_of_x0", index, latents) * x0
            + self.read("mean_of_latents", index, latents) * latents
        )

    def log_variance(
        self, fraction: Float[Tensor, "b *n"] | None, index: Int[Tensor, " b"], like: Tensor
    ) -> Tensor:
        """Log variance of a reverse step.

        Args:
            fraction: the network's v, nominally in [-1, 1]: f = (v + 1) / 2 of log beta and 1 - f
                of the posterior's; None uses the posterior's.
            index: step.
            like: gives the number of axes.
        """
        lower = self.read("log_variance", index, like)
        if fraction is None:
            return lower
        share = (fraction + 1) / 2
        return share * self.read("log_beta", index, like) + (1 - share) * lower
