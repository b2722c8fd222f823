"""Tables of ablations: commits, differences on the same clips, clips without a number."""

from tests.training.experiments.results import result
from training.experiments.tables import table


def test_the_table_names_every_commit_device_and_number_of_threads():
    found = {"on": [result("on", 12), result("on", 12, seed=1)], "off": [result("off", 6)]}
    found["on"][1]["code"] = {"commit": "fedcba98765432100000+"}
    found["off"][0] |= {"device": "cuda:0", "threads": 1}
    origin = table(found, "on").splitlines()[-1]
    assert origin.endswith(
        "; commits 0123456789ab, fedcba987654+ (+: with uncommitted changes); cpu, cuda:0; "
        "2, 1 threads."
    )


def test_a_seam_is_worse_the_further_it_is_from_1_on_either_side():
    found = {name: [result(name, 12)] for name in ("even", "jumping", "frozen")}
    for name, seam in (("even", 1.0), ("jumping", 1.2), ("frozen", 0.7)):
        for score in found[name][0]["methods"]["painted"]["scores"]:
            score["seam"] = seam
    text = table(found, "even")
    assert "distance from 1 -0.200 [-0.200, -0.200], better" in text
    assert "distance from 1 -0.300 [-0.300, -0.300], better" in text
    assert "| 0.70 [0.70, 0.70] |" in text, "the table shows the seam itself"


def test_a_difference_that_decides_is_shown_with_the_digits_that_it_takes():
    found = {name: [result(name, 12)] for name in ("on", "off")}
    for score in found["off"][0]["methods"]["painted"]["scores"]:
        score |= {"ssim": 0.70004, "last_ssim": 0.6}
    text = table(found, "on")
    assert "masked SSIM -0.00004 [-0.00004, -0.00004], worse" in text
    assert "last quarter's +0.000 [+0.000, +0.000], undecided" in text


def test_a_clip_without_a_number_decides_nothing_and_spoils_nothing():
    """As where the dancer stands behind a board all the last quarter."""
    found = {"on": [result("on", 12)], "off": [result("off", 12)]}
    found["off"][0]["methods"]["painted"]["scores"][0] |= {"last_ssim": None, "delta_e": None}
    text = table(found, "on")
    assert "nan" not in text
    assert "last quarter's +0.000 [+0.000, +0.000], undecided" in text
    for method in found["off"][0]["methods"].values():
        for score in method["scores"]:
            score["last_ssim"] = None
    text = table(found, "on")
    assert "last quarter's known of no clip" in text
    assert "| unknown |" in next(line for line in text.splitlines() if line.startswith("| off"))
