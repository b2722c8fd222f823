"""Folders of results as other systems leave them."""

import cv2
import numpy as np

from training.evaluation.results import find_result, read_result


def test_hidden_files_that_macos_writes_are_no_frames(tmp_path):
    for number in (10, 2, 1):
        image = np.full((16, 16, 3), number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number:04d}.png"), image)
        (tmp_path / f"._{number:04d}.png").write_bytes(b"\0\5\x16\7")
    frames = read_result(tmp_path)
    assert frames[:, 0, 0, 0].tolist() == [1, 2, 10]


def test_a_folder_with_a_colon_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run:v2" / "one"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "1.png"), np.zeros((16, 16, 3), np.uint8))
    assert len(read_result(find_result(tmp_path / "run:v2", "one"))) == 1
