"""Training diagnostics: gradient norms by part, norms of the garment gates, memory."""

import resource
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor, nn

from training.distributed.ranks import whole

FUSION = "fusion"
"""Name of the garment attention of denoiser and ControlNet among the parts."""


def part_of(name: str) -> str:
    """``denoiser.blocks.3.fusion.proj.weight`` -> fusion; otherwise the name of its network."""
    return FUSION if f".{FUSION}." in name else name.split(".")[0]


def gradient_norms(network: nn.Module) -> dict[str, float]:
    """Gradient norm of every part that has gradients, over all ranks."""
    gradients: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            gradients[part_of(name)].append(parameter.grad)
    return {
        f"gradient/{part}": float(whole(nn.utils.get_total_norm(found)))
        for part, found in gradients.items()
    }


@torch.no_grad()
def gate_norms(network: nn.Module) -> dict[str, float]:
    """Norm of the garment attention's output projections, mean over blocks, by network.

    They start at zero: their norm shows how much of the garment gets through.
    """
    found: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if name.endswith(f".{FUSION}.proj.weight"):
            found[name.split(".")[0]].append(whole(torch.linalg.vector_norm(parameter.float())))
    return {
        f"fusion_gate/{part}": float(torch.stack([norm.cpu() for norm in norms]).mean())
        for part, norms in found.items()
    }


def memory_gb(device: torch.device) -> dict[str, float]:
    """Memory in use in 1e9 bytes: of this process, and the device's peak since the last call."""
    values = {"memory/host_gb": resident_bytes() / 1e9}
    if device.type == "cuda":
        values["memory/device_peak_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
        torch.cuda.reset_peak_memory_stats(device)
    return values


def resident_bytes() -> int:
    """Memory of this process; its peak where the system does not report the current value."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
