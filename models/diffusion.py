"""Gaussian diffusion: noising, the training losses, and single sampler steps.

Source: Open-Sora v1.0.0 ``opensora/schedulers/iddpm`` (after OpenAI's improved diffusion and
DiT): linear betas, noise prediction, learned-range variance, MSE + variational bound in bits.
Velocity prediction (Salimans and Ho 2022, appendix D) is our addition, for networks trained from
scratch. What differs from the source: losses are one number per latent, so that frames and regions
can be weighted; predictions are never clipped here. Tables are computed in float64, read in
float32.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.noise_schedule import NoiseSchedule

PREDICTIONS = ("noise", "velocity")


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """The noise schedule.

    Attributes:
        num_timesteps: steps of the forward process.
        beta_start: variance added by the first step.
        beta_end: variance added by the last step; linear between.
        learned_range: the network also predicts the reverse steps' variance, in the second half of
            its output channels. False uses the posterior's variance.
        prediction: the meaning of the first half of the output. "noise", as in public trunks; or
            "velocity", signal * noise - sigma * x0, which keeps the clean latents well determined
            where almost everything is noise: there an untrained network's small error in the noise
            is a large error in colours (a factor of 1 / signal, 158 at the last step).
    """

    num_timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 2e-2
    learned_range: bool = True
    prediction: str = "noise"

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"prediction must be one of {PREDICTIONS}, not {self.prediction!r}")
        if self.num_timesteps < 2:
            raise ValueError(f"num_timesteps must be at least 2, not {self.num_timesteps}")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(
                f"betas must satisfy 0 < beta_start <= beta_end < 1, not {self.beta_start} and"
                f" {self.beta_end}"
            )


@dataclass(frozen=True, kw_only=True)
class DiffusionLosses:
    """Loss terms, one number per latent, so that a caller can weight frames and regions."""

    mse: Float[Tensor, "b c t h w"]
    vlb: Float[Tensor, "b c t h w"]  # in bits; zero without a learned variance


class RespacedDiffusion:
    """A schedule on fewer steps; the network still sees the original timesteps.

    ``index`` counts the kept steps, 0 .. num_steps - 1; a sampler starts at the last. Pass
    ``timesteps[index]`` to the network. Predictions are in float32.
    """

    def __init__(
        self, schedule: NoiseSchedule, timesteps: Int[Tensor, " n"], learned_range: bool
    ) -> None:
        kept = schedule.alphas_cumprod[timesteps]
        previous = torch.cat([kept.new_ones(1), kept[:-1]])
        self.timesteps = timesteps
        self.schedule = NoiseSchedule(1 - kept / previous)
        self.learned_range = learned_range

    @property
    def num_steps(self) -> int:
        """Number of kept steps."""
        return len(self.timesteps)

    @property
    def alphas_cumprod(self) -> Float[Tensor, " n"]:
        """Share of the signal's variance that remains at each kept step; float64."""
        return self.schedule.alphas_cumprod

    def q_sample(
        self,
        latents: Float[Tensor, "b c t h w"],
        index: Int[Tensor, " b"],
        noise: Float[Tensor, "b c t h w"],
    ) -> Float[Tensor, "b c t h w"]:
        """Noise clean latents up to a kept step."""
        return self.schedule.q_sample(latents, index, noise)

    def predict_x0(
        self,
        prediction: Float[Tensor, "b k t h w"],
        latents: Float[Tensor, "b c t h w"],
        index: Int[Tensor, " b"],
    ) -> Float[Tensor, "b c t h w"]:
        """Clean latents from the network's output (noise, or noise | variance)."""
        noise, _ = split_prediction(prediction, latents.shape[1])
        return self.schedule.predict_x0(noise, latents, index)

    def ancestral_step(
        self,
        prediction: Float[Tensor, "b k t h w"],
        latents: Float[Tensor, "b c t h w"],
        index: Int[Tensor, " b"],
        noise: Float[Tensor, "b c t h w"],
    ) -> Float[Tensor, "b c t h w"]:
        """One step of DDPM sampling; at index 0 the mean, without noise."""
        mean, log_variance = self.mean_and_log_variance(prediction, latents, index)
        moves = (index > 0).to(latents.dtype).reshape(-1, 1, 1, 1, 1)
        return mean + moves * torch.exp(0.5 * log_variance) * noise

    def mean_and_log_variance(
        self,
        prediction: Float[Tensor, "b k t h w"],
        latents: Float[Tensor, "b c t h w"],
        index: Int[Tensor, " b"],
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the reverse step from ``index`` to the kept step below."""
        noise, fraction = split_prediction(prediction, latents.shape[1])
        x0 = self.schedule.predict_x0(noise, latents, index)
        mean = self.schedule.posterior_mean(x0, latents, index)
        log_variance = self.schedule.log_variance(
            fraction if self.learned_range else None, index, latents
        )
        return mean, log_variance.expand_as(mean)

    def ddim_step(
        self,
        prediction: Float[Tensor, "b k t h w"],
        latents: Float[Tensor, "b c t h w"],
        index: Int[Tensor, " b"],
        eta: float = 0.0,
        noise: Float[Tensor, "b c t h w"] | None = None,
    ) -> Float[Tensor, "b c t h w"]:
        """One step of DDIM sampling (Song et al. 2021, equation 12).

        Args:
            prediction: the network's output.
            latents: at ``index``.
            index: kept step, counted from the clean end.
            eta: 0 is deterministic, 1 adds as much noise as DDPM.
            noise: required if eta is not 0.

        Raises:
            ValueError: eta is not 0 and noise is None.
        """
        x0 = self.predict_x0(prediction, latents, index)
        now = self.schedule.read("alphas_cumprod", index, latents)
        below = self.schedule.read("alphas_cumprod_previous", index, latents)
        # the noise consistent with x0, even if guidance changed only some of the channels
        epsilon = (self.schedule.read("recip_signal", index, latents) * latents - x0) / (
            self.schedule.read("recip_noise", index, latents)
        )
        sigma = eta * ((1 - below) / (1 - now)).sqrt() * (1 - now / below).sqrt()
        sample = x0 * below.sqrt() + (1 - below - sigma**2).clamp(min=0).sqrt() * epsilon
        if eta == 0.0:
            return sample
        if noise is None:
            raise ValueError(f"a DDIM step with eta = {eta} needs noise")
        moves = (index > 0).to(latents.dtype).reshape(-1, 1, 1, 1, 1)
        return sample + moves * sigma * noise


class GaussianDiffusion:
    """The forward process of training and its losses."""

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        self.schedule = NoiseSchedule(
            torch.linspace(
                config.beta_start, config.beta_end, config.num_timesteps, dtype=torch.float64
            )
        )

    @property
    def num_timesteps(self) -> int:
        """Steps of the forward process."""
        return self.config.num_timesteps

    def q_sample(
        self,
        latents: Float[Tensor, "b c t h w"],
        timesteps: Int[Tensor, " b"],
        noise: Float[Tensor, "b c t h w"],
    ) -> Float[Tensor, "b c t h w"]:
        """Noise clean latents up to a timestep."""
        return self.schedule.q_sample(latents, timesteps, noise)

    def as_noise(
        self,
        prediction: Float[Tensor, "b k t h w"],
        latents: Float[Tensor, "b c t h w"],
        timesteps: Int[Tensor, " b"],
    ) -> Float[Tensor, "b k t h w"]:
        """Convert the network's output to noise in its first channels, as samplers expect.

        Args:
            prediction: the network's output, of the configured kind.
            latents: the noisy latents it was computed from.
            timesteps: their original indices.
        """
        if self.config.prediction == "noise":
            return prediction
        velocity, fraction = split_prediction(prediction, latents.shape[1])
        signal = self.schedule.read("signal", timesteps, latents)
        noise = self.schedule.read("noise", timesteps, latents) * latents + signal * velocity
        return noise if fraction is None else torch.cat([noise, fraction], dim=1)

    def refine(
        self,
        prediction: Float[Tensor, "b k t h w"],
        coarse: Float[Tensor, "b c t h w"],
        timesteps: Int[Tensor, " b"],
    ) -> Float[Tensor, "b k t h w"]:
        """The prediction of a network whose output is about x0 minus ``coarse``.

        Predictions are linear in x0; this adds what ``coarse`` contributes.

        Args:
            prediction: the network's output.
            coarse: a first guess of the clean latents.
            timesteps: original indices.
        """
        first, fraction = split_prediction(prediction, coarse.shape[1])
        signal = self.schedule.read("signal", timesteps, coarse)
        noise = self.schedule.read("noise", timesteps, coarse)
        scale = noise if self.config.prediction == "velocity" else signal / noise
        first = first.to(torch.float32) - scale * coarse
        return first if fraction is None else torch.cat([first, fraction.to(first.dtype)], dim=1)

    def losses(
        self,
        prediction: Float[Tensor, "b k t h w"],
        latents: Float[Tensor, "b c t h w"],
        noise: Float[Tensor, "b c t h w"],
        timesteps: Int[Tensor, " b"],
    ) -> DiffusionLosses:
        """Squared error of the prediction, and the variational bound for the variance, per latent.

        The bound's gradient reaches only the variance: the predicted noise is detached in it.

        Args:
            prediction: the network's output; k is 2 c with a learned variance, else c.
            latents: the clean latents.
            noise: the noise added to them.
            timesteps: the steps they were noised to.
        """
        schedule = self.schedule
        prediction = prediction.to(torch.float32)
        predicted, fraction = split_prediction(prediction, latents.shape[1])
        target = noise
        if self.config.prediction == "velocity":
            signal = schedule.read("signal", timesteps, latents)
            target = signal * noise - schedule.read("noise", timesteps, latents) * latents
        mse = (target - predicted).square()
        if fraction is None or not self.config.learned_range:
            return DiffusionLosses(mse=mse, vlb=torch.zeros_like(mse))
        noised = schedule.q_sample(latents, timesteps, noise)
        predicted, _ = split_prediction(
            self.as_noise(prediction, noised, timesteps), latents.shape[1]
        )
        true_mean = schedule.posterior_mean(latents, noised, timesteps)
        true_log_variance = schedule.log_variance(None, timesteps, latents)
        x0 = schedule.predict_x0(predicted.detach(), noised, timesteps)
        mean = schedule.posterior_mean(x0, noised, timesteps)
        log_variance = schedule.log_variance(fraction, timesteps, latents)
        kl = normal_kl(true_mean, true_log_variance, mean, log_variance)
        first = (timesteps == 0).reshape(-1, 1, 1, 1, 1)
        decoder = -discretised_log_likelihood(latents, mean, 0.5 * log_variance)
        return DiffusionLosses(mse=mse, vlb=torch.where(first, decoder, kl) / math.log(2.0))

    def respaced(self, num_steps: int) -> RespacedDiffusion:
        """Evenly spaced steps, including the first and the last (improved diffusion's rule).

        Raises:
            ValueError: fewer than 1 or more than ``num_timesteps`` steps.
        """
        total = self.config.num_timesteps
        if not 1 <= num_steps <= total:
            raise ValueError(f"num_steps must be between 1 and {total}, not {num_steps}")
        stride = (total - 1) / (num_steps - 1) if num_steps > 1 else 1.0
        # a running sum, not a product, so that halves round as in the reference
        position = 0.0
        kept: list[int] = []
        for _ in range(num_steps):
            kept.append(round(position))
            position += stride
        return RespacedDiffusion(self.schedule, torch.tensor(kept), self.config.learned_range)


def split_prediction(
    prediction: Float[Tensor, "b k t h w"], channels: int
) -> tuple[Float[Tensor, "b c t h w"], Float[Tensor, "b c t h w"] | None]:
    """Split the network's output into (noise, variance fraction), the latter None if absent."""
    if prediction.shape[1] == channels:
        return prediction, None
    if prediction.shape[1] != 2 * channels:
        raise ValueError(
            f"a prediction for {channels} latent channels has {channels} or {2 * channels}"
            f" channels, not {prediction.shape[1]}"
        )
    noise, fraction = torch.split(prediction, channels, dim=1)
    return noise, fraction


def normal_kl(mean1: Tensor, log_variance1: Tensor, mean2: Tensor, log_variance2: Tensor) -> Tensor:
    """KL divergence of the first Gaussian from the second, in nats, elementwise."""
    return 0.5 * (
        -1.0
        + log_variance2
        - log_variance1
        + torch.exp(log_variance1 - log_variance2)
        + (mean1 - mean2).square() * torch.exp(-log_variance2)
    )


def discretised_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log likelihood of values in bins of 1/127.5, the outer ones open, in nats, elementwise.

    Open-Sora uses this image formula for latents; so do we, to match it.
    """

    def cumulative(z: Tensor) -> Tensor:
        return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))

    centred = x - mean
    inverse_scale = torch.exp(-log_scale)
    upper = cumulative(inverse_scale * (centred + 1.0 / 255.0))
    lower = cumulative(inverse_scale * (centred - 1.0 / 255.0))
    likelihood = torch.where(x < -0.999, upper, torch.where(x > 0.999, 1 - lower, upper - lower))
    return likelihood.clamp(min=1e-12).log()
