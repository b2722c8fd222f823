"""Weights over HTTP, from a server on this machine: resumed, checked, recorded, or refused."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.errors import ConfigError, DataError
from models.stdit import STDiT, STDiTConfig
from models.weights.trunk_formats import OPEN_SORA, PIXART
from training.metrics.i3d import InceptionI3d
from training.metrics.resnext3d import ResNeXt3d101
from training.weights.__main__ import main
from training.weights.catalogue import CATALOGUE, SOURCE_CODE, TORCH, PublicFile
from training.weights.checks import check_trunk, check_weights
from training.weights.download import Unfinished, download
from training.weights.fetching import choose, fetch, verify
from training.weights.metric_networks import find_weights, published

RESNEXT = "/zhengchong/VFID/resolve/main/resnext-101.pth"
SQUEEZE = "/models/squeezenet1_1-b8a52dc0.pth"


@dataclass
class Host:
    """A web server's files and moods; it notes what it was asked."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)  # path -> where it says to look
    cut_after: int | None = None  # bytes of each answer's body, then the connection ends
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    tag: str = '"one"'


def handler_of(host: Host) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            host.asked.append((self.path, wanted))
            if self.path in host.moved:
                self.send_response(302)
                self.send_header("Location", host.moved[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = host.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = 0
            if wanted and self.headers.get("If-Range") == host.tag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content) > 0:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", host.tag)
            self.end_headers()
            self.wfile.write(body if host.cut_after is None else body[: host.cut_after])

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def host() -> Iterator[Host]:
    state = Host()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state))
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path / "weights"


@pytest.fixture(scope="module")
def resnext_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of the right keys and shapes, in the form of the public one."""
    path = tmp_path_factory.mktemp("published") / "resnext-101.pth"
    with torch.device("meta"):
        shapes = ResNeXt3d101().state_dict()
    # one stored number for each tensor: right shapes in a small file
    state = {
        f"module.{key}": torch.zeros((), dtype=value.dtype).expand(value.shape)
        for key, value in shapes.items()
    }
    torch.save({"arch": "resnext-101", "state_dict": state}, path)
    return path.read_bytes()


def entry(name: str) -> Any:
    return CATALOGUE[name]


def test_a_file_is_fetched_checked_and_its_hash_recorded(
    host: Host, folder: Path, resnext_file: bytes
) -> None:
    host.files[RESNEXT] = resnext_file
    assert fetch([entry("resnext")], host.address) == [folder / "resnext-101.pth"]
    assert (folder / "resnext-101.pth").read_bytes() == resnext_file
    digest = hashlib.sha256(resnext_file).hexdigest()
    assert json.loads((folder / "SHA256.json").read_text()) == {"resnext-101.pth": digest}
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256.json", "resnext-101.pth"]
    assert fetch([entry("resnext")], host.address) == []
    assert len(host.asked) == 1


def test_a_broken_connection_is_taken_up_where_it_ended(
    host: Host, folder: Path, resnext_file: bytes
) -> None:
    host.files[RESNEXT] = resnext_file
    host.cut_after = len(resnext_file) // 10
    with pytest.raises(DataError, match=r"broke off: \d+ of \d+ bytes were received; rerun"):
        fetch([entry("resnext")], host.address)
    assert not (folder / "resnext-101.pth").exists()
    here = (folder / ".fetching" / "resnext-101.pth").stat().st_size
    assert 0 < here < len(resnext_file)
    host.cut_after, host.asked = None, []
    fetch([entry("resnext")], host.address)
    assert host.asked == [(RESNEXT, f"bytes={here}-")]
    assert (folder / "resnext-101.pth").read_bytes() == resnext_file


def test_two_versions_of_a_file_are_never_spliced(host: Host, tmp_path: Path) -> None:
    host.files["/f"] = b"a" * 100
    host.cut_after = 10
    unfinished = Unfinished(path=tmp_path / "f")
    with pytest.raises(DataError, match="broke off"):
        download(f"{host.address}/f", unfinished)
    host.files["/f"], host.tag, host.cut_after = b"b" * 90, '"two"', None
    download(f"{host.address}/f", unfinished)
    assert unfinished.path.read_bytes() == b"b" * 90


def test_a_file_that_was_whole_when_the_run_was_killed_is_not_fetched_again(
    host: Host, tmp_path: Path
) -> None:
    host.files["/f"] = b"a" * 100
    unfinished = Unfinished(path=tmp_path / "f")
    for _ in range(2):
        download(f"{host.address}/f", unfinished)
    assert host.asked == [("/f", None), ("/f", "bytes=100-")]
    assert unfinished.path.read_bytes() == b"a" * 100


def test_a_redirect_to_a_storage_host_is_followed_and_resumed(host: Host, tmp_path: Path) -> None:
    host.files["/storage/f?signed=1"] = b"a" * 100
    host.moved["/f"] = "/storage/f?signed=1"
    host.cut_after = 10
    unfinished = Unfinished(path=tmp_path / "f")
    with pytest.raises(DataError, match="broke off"):
        download(f"{host.address}/f", unfinished)
    here, host.cut_after = unfinished.path.stat().st_size, None
    host.files["/storage/f?signed=2"] = host.files.pop("/storage/f?signed=1")
    host.moved["/f"] = "/storage/f?signed=2"  # such addresses last for minutes
    download(f"{host.address}/f", unfinished)
    assert host.asked[-1] == ("/storage/f?signed=2", f"bytes={here}-")
    assert unfinished.path.read_bytes() == b"a" * 100


def test_a_page_in_place_of_weights_is_refused_and_not_kept(host: Host, folder: Path) -> None:
    host.files[RESNEXT] = b"<html>please log in</html>"
    with pytest.raises(DataError, match=r"not a readable file of weights.*it was not kept"):
        fetch([entry("resnext")], host.address)
    assert list(folder.rglob("*")) == []


def test_a_file_with_another_hash_or_size_than_published_is_refused(
    host: Host, folder: Path
) -> None:
    host.files[SQUEEZE] = b"something else"
    with pytest.raises(DataError, match=r"publisher states b8a52dc0; it was not kept"):
        fetch([entry("squeeze")], host.address)
    revision = entry("i3d").files[0].revision
    host.files[f"/zhengchong/VFID/resolve/{revision}/i3d.pt"] = b"short"
    with pytest.raises(DataError, match=r"gave 5 bytes, its publisher states 50883138"):
        fetch([entry("i3d")], host.address)
    assert list(folder.rglob("*")) == []


def test_one_absent_file_does_not_keep_the_others_and_has_its_own_sentence(
    host: Host, folder: Path, resnext_file: bytes
) -> None:
    host.files[RESNEXT] = resnext_file
    with pytest.raises(DataError) as caught:
        fetch(choose("squeeze,resnext,alex"), host.address)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["squeeze", "alex"]
    assert all("answers 404" in line and "by hand" in line for line in lines)
    assert (folder / "resnext-101.pth").is_file()


def test_without_a_network_there_is_one_sentence_and_nothing_else(folder: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be reached \(.*\); or put it into .*weights/"):
        fetch([entry("alex")], "http://127.0.0.1:1")
    assert list(folder.rglob("*")) == []


def test_a_file_that_changed_since_its_first_use_is_refused_with_both_hashes(folder: Path) -> None:
    folder.mkdir()
    torch.manual_seed(0)
    torch.save(InceptionI3d().state_dict(), folder / "i3d.pt")
    found = find_weights("i3d")
    assert found is not None
    assert published("i3d", found.sha256) == "no"
    assert published("i3d", str(entry("i3d").files[0].sha256)) == "yes"
    assert published("resnext", found.sha256) == "no hash is stated"
    first = found.sha256
    (folder / "i3d.pt").write_bytes(b"another")
    second = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(DataError, match=rf"its sha256 is {second}, at first use it was {first}"):
        find_weights("i3d")


def test_a_folder_given_by_hand_is_checked_the_same_way(
    folder: Path, resnext_file: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    (folder / "resnext-101.pth").write_bytes(resnext_file)
    main(["check=metrics"])
    assert "resnext: right" in capsys.readouterr().out
    assert "resnext-101.pth" in json.loads((folder / "SHA256.json").read_text())
    (folder / "resnext-101.pth").write_bytes(resnext_file[: len(resnext_file) // 2])
    with pytest.raises(DataError, match="not a readable file of weights"):
        main(["check=resnext"])
    with pytest.raises(DataError, match=r"i3d\.pt does not exist: `make weights"):
        verify(entry("i3d"))


def test_the_autoencoders_folder_comes_whole_and_its_keys_fit_its_config(
    host: Host, folder: Path, tmp_path: Path
) -> None:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    tiny = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, layers_per_block=1)
    tiny.save_pretrained(tmp_path / "vae")
    config, weights = entry("vae").files
    for public in (config, weights):
        content = (tmp_path / "vae" / public.path).read_bytes()
        host.files[public.url(host.address).removeprefix(host.address)] = content
    fetch([entry("vae")], host.address)
    assert (folder / "sd-vae-ft-ema" / "diffusion_pytorch_model.safetensors").is_file()
    text = (folder / config.file).read_text()
    (folder / config.file).write_text(text.replace('"latent_channels": 4', '"latent_channels": 8'))
    with pytest.raises(DataError, match=r"is not an AutoencoderKL: .* expected"):
        verify(entry("vae"))


def test_a_trunk_is_told_by_its_keys_and_an_image_model_from_a_video_model(tmp_path: Path) -> None:
    config = STDiTConfig(dim=32, depth=2, num_heads=2, caption_dim=8, caption_length=2)
    state = STDiT(config).state_dict()
    path = tmp_path / "trunk.pth"
    torch.save(state | {"pos_embed": torch.zeros(1, 4, 32)}, path)
    check_trunk(path, config, OPEN_SORA)
    with pytest.raises(DataError, match=r"is an Open-Sora v1\.0 video trunk, not a PixArt-alpha"):
        check_trunk(path, config, PIXART)
    image = {key: value for key, value in state.items() if ".attn_temp." not in key}
    image["x_embedder.proj.weight"] = image["x_embedder.proj.weight"][:, :, 0]
    torch.save({"state_dict": image}, path)
    check_trunk(path, config, PIXART)
    with pytest.raises(DataError, match="is a PixArt-alpha image model, not an Open-Sora"):
        check_trunk(path, config, OPEN_SORA)
    torch.save({"state_dict": image | {"blocks.0.extra": torch.zeros(1)}}, path)
    with pytest.raises(DataError, match=r"does not fit the network.*blocks\.0\.extra"):
        check_trunk(path, config, PIXART)


def test_the_people_detector_is_the_published_one_and_told_by_its_keys(tmp_path: Path) -> None:
    from torchvision.models.detection import KeypointRCNN, KeypointRCNN_ResNet50_FPN_Weights
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    (public,) = entry("people").files
    published = KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.url
    assert public.url() == published
    assert published.endswith(f"-{public.sha256_start}.pth")
    with torch.device("meta"):
        backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
        state = KeypointRCNN(backbone, num_classes=2).state_dict()
    zeros = {k: torch.zeros((), dtype=v.dtype).expand(v.shape) for k, v in state.items()}
    path = tmp_path / public.file
    torch.save(zeros, path)
    check_weights(entry("people"), tmp_path)
    gone = zeros.pop("roi_heads.keypoint_predictor.kps_score_lowres.bias")
    torch.save(zeros, path)
    with pytest.raises(DataError, match=r"is not torchvision's Keypoint R-CNN: it lacks roi_heads"):
        check_weights(entry("people"), tmp_path)
    torch.save({"foo": gone}, path)
    with pytest.raises(DataError, match="is not torchvision's Keypoint R-CNN"):
        check_weights(entry("people"), tmp_path)


def test_addresses_follow_the_mirror_and_the_hubs_own_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (i3d,) = entry("i3d").files
    tail = f"/zhengchong/VFID/resolve/{i3d.revision}/i3d.pt"
    assert i3d.url("https://mirror.example/") == f"https://mirror.example{tail}"
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    assert i3d.url() == f"https://hub.example{tail}"
    (alex,) = entry("alex").files
    assert alex.url() == f"{TORCH}/models/alexnet-owt-7be5be79.pth"
    code = PublicFile(file="a", host=SOURCE_CODE, path="b/a", repository="o/n", revision="c0")
    assert code.url() == f"{SOURCE_CODE}/o/n/c0/b/a"


def test_every_entry_says_what_it_is_for_and_under_which_licence() -> None:
    files = [public.file for e in CATALOGUE.values() for public in e.files]
    assert len(files) == len(set(files))
    for known in CATALOGUE.values():
        assert known.purpose
        assert known.licence
        assert known.licence_by
        for public in known.files:
            assert public.sha256 is None or len(public.sha256) == 64
            assert public.revision is None or len(public.revision) == 40


def test_the_list_shows_what_is_here_and_names_that_do_not_exist_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "densepose").mkdir(parents=True)
    (folder / "densepose" / "model_final_162be9.pkl").write_bytes(b"\x80.")
    (folder / "i3d.pt").write_bytes(b"")
    main([])
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "absent" in shown["resnext"]
    assert "yes*" in shown["i3d"]
    assert "1 of 3" in shown["densepose"]
    with pytest.raises(ConfigError, match="no weights are called 'squeez'"):
        main(["fetch=squeez"])
    with pytest.raises(ConfigError, match="mirror has no effect"):
        main(["mirror=https://mirror.example"])
    with pytest.raises(ConfigError, match=r"https://HOST or http://HOST"):
        main(["fetch=i3d", "mirror=mirror.example"])
