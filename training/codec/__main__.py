"""Train the embedded codec: ``python -m training.codec CONFIG.yaml key=value ...``."""

import logging
import shlex
from pathlib import Path

import cv2

from configs.command import run_command
from configs.loading import load_config, split_arguments
from training.callbacks.stopping import StopSignals
from training.checkpoints.provenance import describe_code
from training.codec.config import CodecTraining
from training.codec.crops import Crops
from training.codec.learn import learn
from training.codec.real import read_sources, real_files
from training.codec.record import score_table, score_unseen, write_codec, write_record
from training.codec.rendered import rendered_pictures, unseen_rendered

logger = logging.getLogger(__name__)

USAGE = 'make codec [PICTURES=DIR] [OUT=FILE.safetensors] [ARGS="key=value ..."]'


def main(argv: list[str]) -> int:
    """Make the pictures, train, whiten, score, write; 75 or 130 if a signal stopped it."""
    config = read_arguments(argv)
    commit = describe_code()["commit"]
    cv2.setNumThreads(1)
    seen, unseen = real_files(config)
    rendered, unseen_frames = rendered_pictures(config), unseen_rendered(config)
    logger.info("%d rendered pictures, %d real files to learn from; %d and %d to score on",
                len(rendered), len(seen), len(unseen_frames), len(unseen))  # fmt: skip
    crops = Crops(
        rendered, [file.pictures for file in seen], config.crop, config.batch_size, config.seed
    )
    signals = StopSignals()
    network = learn(config, crops, signals)
    if network is None:
        logger.warning("stopped by a signal; rerun the same command to resume")
        return signals.exit_code
    codec = write_codec(config, network, crops, commit)
    scores = score_unseen(config, codec, unseen_frames, unseen)
    words = [word for word in argv if not word.startswith(("work=", "workers="))]
    command = f"python -m training.codec {shlex.join(words)}"
    record = write_record(config, command, commit, seen, unseen, scores)
    print(score_table(scores))
    print(f"{config.out}, with its record {record}; use it with system.codec.kind=learned"
          f" system.codec.path={config.out}")  # fmt: skip
    return 0


def read_arguments(argv: list[str]) -> CodecTraining:
    """The settings; a folder with pictures has its list."""
    config = load_config(CodecTraining, *split_arguments(argv, USAGE))
    if config.real is not None:
        read_sources(Path(config.real))
    return config


if __name__ == "__main__":
    run_command(main)
