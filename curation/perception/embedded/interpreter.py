"""One embedded model, loaded at first use by ai-edge-litert on one thread.

Curation runs one process per core, so a model uses one thread.
"""

from typing import Any

import numpy as np

from curation.perception.embedded.weights import EmbeddedModel, model_path


class EmbeddedInterpreter:
    """Runs one tflite file on one image at a time.

    Construction is cheap and picklable: the file is opened by the first call, in the process that
    makes it.
    """

    def __init__(self, model: EmbeddedModel) -> None:
        self._model = model
        self._interpreter: Any = None
        self._ends: tuple[int, list[int]] = 0, []  # tensors: the input's, the outputs'

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Outputs of the network in the file's own order.

        Args:
            image: (height, width, 3) float32 at the network's own size and range.
        """
        if self._interpreter is None:
            self._interpreter = _load(self._model)
            outputs = [output["index"] for output in self._interpreter.get_output_details()]
            self._ends = self._interpreter.get_input_details()[0]["index"], outputs
        interpreter, (source, outputs) = self._interpreter, self._ends
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        return [interpreter.get_tensor(output) for output in outputs]

    def __getstate__(self) -> dict[str, Any]:
        return {"_model": self._model, "_interpreter": None, "_ends": (0, [])}


def _load(model: EmbeddedModel) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model_path(model)), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter
