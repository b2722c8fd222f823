import cv2

from tests.benchmark_fixtures import HEIGHT, WIDTH, write_bench, write_results
from training.experiments.film_strip import GAP, HEADER, MOMENTS, PANEL_HEIGHT, write_film_strip


def test_the_film_strip_shows_source_garment_and_result_of_what_was_painted(tmp_path):
    root = write_bench(tmp_path / "bench")
    painted = write_results(root, tmp_path / "predictions" / "unpaired", "unpaired")
    path = write_film_strip(tmp_path / "strip.png", root, painted, rows=2)
    assert path is not None
    height, width = cv2.imread(str(path)).shape[:2]
    assert height == HEADER + 2 * (PANEL_HEIGHT + GAP)
    panel = round(WIDTH * PANEL_HEIGHT / HEIGHT)
    assert width == GAP + (2 * MOMENTS + 1) * (panel + GAP)


def test_nothing_painted_gives_no_film_strip(tmp_path):
    root = write_bench(tmp_path / "bench")
    assert write_film_strip(tmp_path / "strip.png", root, tmp_path / "unpaired") is None
    assert not (tmp_path / "strip.png").exists()
