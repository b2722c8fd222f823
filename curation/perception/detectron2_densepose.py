"""DensePose by detectron2's DensePose project, given our own boxes (imported lazily).

Only the head is used: the detector is skipped and the native 112x112 grid is kept, so nothing is
resampled. Never import ``detectron2.model_zoo`` (breaks with setuptools >= 82); the DensePose YAML
files are not in its package, so the configuration is a path.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import DataError
from curation.perception.config import PerceptionConfig, installed_version
from curation.perception.protocols import BackendInfo, DensePose, Person
from curation.perception.zoo_weights import ZOO, read_zoo_weights
from datasets.storage import sha256_read_once

BATCH_SIZE = 8
BOX_MARGIN = 0.05  # widening of the person's box on each side
INSTALL_COMMAND = "make setup-densepose"
GRID = 112


class Detectron2DensePose:
    """Runs the DensePose head on the one person of each frame."""

    def __init__(self, config: PerceptionConfig) -> None:
        self.config = config
        self._model: Any = None
        self._resize: Any = None

    @property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        return BackendInfo(
            name=f"detectron2-{Path(self.config.densepose_config).stem}",
            version=installed_version("detectron2"),
            weights_sha256=sha256_read_once(Path(self.config.densepose_weights)),
            is_approximate=False,
        )

    def estimate(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> list[DensePose | None]:
        """Surface coordinates of each frame's person; see ``DensePoseEstimator``."""
        if self._model is None:
            self._model, self._resize = load_model(self.config)
        found: list[DensePose | None] = [None] * len(frames)
        wanted = [i for i, person in enumerate(people) if person is not None]
        for start in range(0, len(wanted), BATCH_SIZE):
            indices = wanted[start : start + BATCH_SIZE]
            boxes = [self._box(frames[i], people[i]) for i in indices]
            for i, box, iuv in zip(
                indices, boxes, self._run([frames[i] for i in indices], boxes), strict=True
            ):
                found[i] = DensePose(iuv=iuv, box=box)
        return found

    def _box(self, frame: np.ndarray, person: Person | None) -> np.ndarray:
        assert person is not None
        left, top, right, bottom = person.box
        x, y = BOX_MARGIN * (right - left), BOX_MARGIN * (bottom - top)
        limit = np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)
        return np.clip(np.array([left - x, top - y, right + x, bottom + y], np.float32), 0, limit)

    def _run(self, frames: list[np.ndarray], boxes: list[np.ndarray]) -> list[np.ndarray]:
        import torch
        from detectron2.structures import (  # type: ignore[import-not-found]  (not in any index)
            Boxes,
            Instances,
        )

        inputs, instances = [], []
        for frame, box in zip(frames, boxes, strict=True):
            height, width = frame.shape[:2]
            image = self._resize.get_transform(frame).apply_image(frame[..., ::-1])
            scale = np.array([image.shape[1] / width, image.shape[0] / height] * 2, np.float32)
            tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
            inputs.append({"image": tensor.float(), "height": height, "width": width})
            instances.append(
                Instances(
                    image.shape[:2],
                    pred_boxes=Boxes(torch.from_numpy(box * scale)[None]),
                    pred_classes=torch.zeros(1, dtype=torch.int64),
                    scores=torch.ones(1),
                )
            )
        with torch.no_grad():
            results = self._model.inference(
                inputs, detected_instances=instances, do_postprocess=False
            )
        return [chart_to_iuv(result.pred_densepose) for result in results]


def chart_to_iuv(output: Any) -> np.ndarray:
    """A DensePoseChartPredictorOutput of one box -> (112, 112, 3) uint8.

    The part is the best fine label where the coarse label is not background; U and V are read from
    that part's own channels (DensePose's ChartResult does the same after resampling). Legacy models
    answer on a 56x56 grid, which is resampled first.
    """
    fine, coarse, all_u, all_v = (
        _on_our_grid(maps)[0] for maps in (output.fine_segm, output.coarse_segm, output.u, output.v)
    )
    part = fine.argmax(0) * (coarse.argmax(0) > 0)
    u = all_u.gather(0, part[None])[0].clamp(0, 1)
    v = all_v.gather(0, part[None])[0].clamp(0, 1)
    is_body = part > 0
    iuv = np.stack(
        [
            part.cpu().numpy(),
            (u * is_body * 255).round().cpu().numpy(),
            (v * is_body * 255).round().cpu().numpy(),
        ],
        axis=-1,
    )
    return iuv.astype(np.uint8)


def check_fit(incompatible: Any, config: PerceptionConfig) -> None:
    """Reject weights that leave parts of the network as they were drawn at random.

    Args:
        incompatible: what fvcore's Checkpointer found: ``missing_keys`` and ``incorrect_shapes``.
        config: names the files.

    Raises:
        DataError: something is missing or has another shape.
    """
    wrong = [name for name, *_ in incompatible.incorrect_shapes]
    absent = [name for name in incompatible.missing_keys if name not in wrong]
    said = [
        f"{len(names)} tensors {what}, such as {names[0]}"
        for names, what in ((absent, "are missing"), (wrong, "have another shape"))
        if names
    ]
    if said:
        raise DataError(
            f"DensePose weights {config.densepose_weights} do not fit {config.densepose_config}: "
            f"{' and '.join(said)}; take {ZOO}, or the weights of your configuration"
        )


def _merge_file(settings: Any, path: Path) -> None:
    """Read a YAML of DensePose and what it extends.

    Raises:
        DataError: a file is absent, it is no such YAML, or it is not a configuration of charts.
    """
    try:
        settings.merge_from_file(str(path), allow_unsafe=False)  # no Python objects from YAML
    except FileNotFoundError as error:
        absent = error.filename or error
        raise DataError(
            f"{path} extends {absent}, which does not exist; copy it next to {path.name}"
        ) from error
    except Exception as error:  # yaml's and yacs' errors have no common class
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} is no configuration of DensePose: {first}") from error
    predictor = str(settings.MODEL.ROI_DENSEPOSE_HEAD.PREDICTOR_NAME)
    if not settings.MODEL.DENSEPOSE_ON or "Chart" not in predictor:
        raise DataError(
            f"{path} has the predictor {predictor}, which gives no I, U, V (CSE configurations do "
            "not); take densepose_rcnn_R_50_FPN_s1x.yaml"
        )


def _on_our_grid(maps: Any) -> Any:
    import torch

    if tuple(maps.shape[-2:]) == (GRID, GRID):
        return maps
    return torch.nn.functional.interpolate(
        maps, size=(GRID, GRID), mode="bilinear", align_corners=False
    )


def load_model(config: PerceptionConfig) -> tuple[Any, Any]:
    """The network in evaluation mode and its input resize.

    Raises:
        DataError: a package or a file is absent, the configuration is not one of charts, or the
            weights are not those of its network.
    """
    try:
        import detectron2.data.transforms as transforms  # type: ignore[import-not-found]
        from densepose import add_densepose_config  # type: ignore[import-not-found]
        from detectron2.checkpoint import (  # type: ignore[import-not-found]
            DetectionCheckpointer,
        )
        from detectron2.config import get_cfg  # type: ignore[import-not-found]
        from detectron2.modeling import build_model  # type: ignore[import-not-found]
    except ImportError as error:
        raise DataError(
            f"detectron2 with DensePose is not installed ({error}): {INSTALL_COMMAND}, "
            "or choose perception=embedded"
        ) from error
    for path in (config.densepose_config, config.densepose_weights):
        if not Path(path).is_file():
            raise DataError(f"DensePose file {path} does not exist")
    settings = get_cfg()
    add_densepose_config(settings)
    _merge_file(settings, Path(config.densepose_config))
    settings.MODEL.DEVICE = config.device
    content = read_zoo_weights(Path(config.densepose_weights))
    model = build_model(settings)

    class Checkpointer(DetectionCheckpointer):
        """Matches names as detectron2 does, with weights that were read before."""

        def _load_file(self, filename: str) -> dict[str, Any]:
            return content

        def _load_model(self, checkpoint: dict[str, Any]) -> Any:
            self.incompatible = super()._load_model(checkpoint)
            return self.incompatible

    checkpointer = Checkpointer(model)
    checkpointer.load(str(Path(config.densepose_weights).resolve()))
    check_fit(checkpointer.incompatible, config)
    model.eval()
    smallest, largest = settings.INPUT.MIN_SIZE_TEST, settings.INPUT.MAX_SIZE_TEST
    return model, transforms.ResizeShortestEdge([smallest, smallest], largest)
