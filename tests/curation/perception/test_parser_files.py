"""Parsers as others publish them: folders that name their labels, ONNX, TorchScript with tuples."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.errors import DataError
from curation.perception.config import PerceptionConfig
from curation.perception.human_parser import FileHumanParser
from curation.perception.parser_labels import TABLES, label_table
from curation.perception.parser_networks import choose_logits, load_network
from curation.perception.protocols import Person
from datasets.labels import ParseLabel

NAMES = {
    "atr": (
        "Background Hat Hair Sunglasses Upper-clothes Skirt Pants Dress Belt Left-shoe Right-shoe "
        "Face Left-leg Right-leg Left-arm Right-arm Bag Scarf"
    ),
    "lip": (
        "Background Hat Hair Glove Sunglasses Upper-clothes Dress Coat Socks Pants Jumpsuits Scarf "
        "Skirt Face Left-arm Right-arm Left-leg Right-leg Left-shoe Right-shoe"
    ),
    "fashn": (
        "background face hair top dress skirt pants belt bag hat scarf glasses arms hands legs "
        "feet torso jewelry"
    ),
}


def write_names(folder: Path, names: list[str], **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    numbered = {str(i): name for i, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps({"id2label": numbered, **config}))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_folders_own_names_give_the_published_table(name: str, tmp_path: Path) -> None:
    folder = write_names(tmp_path / "parser", NAMES[name].split())
    assert label_table(folder, "auto") == TABLES[name] == label_table(folder, name)


def test_names_that_nobody_knows_and_files_without_names_ask_for_a_table(tmp_path: Path) -> None:
    folder = write_names(tmp_path / "parser", ["LABEL_0", "LABEL_1"])
    with pytest.raises(DataError, match=r"unknown names.*parser_labels=atr, fashn or lip"):
        label_table(folder, "auto")
    with pytest.raises(DataError, match=r"does not name its labels; give perception\.parser"):
        label_table(tmp_path / "schp.onnx", "auto")


class Schp(torch.nn.Module):
    """SCHP's answer: a first parse, the fused parse (upper clothes where red is), edges."""

    def forward(
        self, images: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor]]:
        small = torch.nn.functional.avg_pool2d(images, 4)
        red, rest = small[:, :1], torch.zeros_like(small[:, :1]).repeat(1, 4, 1, 1)
        more = torch.zeros_like(red).repeat(1, 13, 1, 1)
        fused = torch.cat([rest, red, more], 1)
        return (torch.zeros_like(fused), fused), (fused[:, :2],)


def check_red_is_upper(path: Path, person: Person) -> None:
    assert person.mask is not None
    frame = np.zeros((*person.mask.shape, 3), np.uint8)
    frame[:190, :, 0] = 255
    config = PerceptionConfig(parser_path=str(path), parser_labels="atr")
    labels, again = FileHumanParser(config).parse([frame, frame], [person, person])
    assert (labels[100:180, 60:140] == ParseLabel.UPPER).all()
    assert not labels[200:320].any()
    np.testing.assert_array_equal(labels, again)


def test_a_torchscript_file_that_returns_tuples_is_read(
    tmp_path: Path, standing_person: Person
) -> None:
    path = tmp_path / "schp.pt"
    torch.jit.save(torch.jit.script(Schp()), str(path))
    check_red_is_upper(path, standing_person)


@pytest.mark.parametrize("batch", [1, "n"])
def test_an_onnx_file_is_read_at_its_own_size(
    batch: int | str, tmp_path: Path, standing_person: Person
) -> None:
    pytest.importorskip("onnxruntime", reason="an extra: make setup-onnx")
    path = tmp_path / "schp.onnx"
    path.write_bytes(write_onnx(batch, 48, 32))
    network = load_network(path, "cpu")
    assert (network.height, network.width) == (48, 32)
    check_red_is_upper(path, standing_person)


def write_onnx(batch: int | str, height: int, width: int) -> bytes:
    """``Schp`` as an ONNX model, by hand: torch's exporter needs two more packages."""
    onnx = pytest.importorskip("onnx", reason="writes the model of this test")
    h, t = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.zeros((18, 3, 1, 1), np.float32)
    weight[4, 0] = 1
    weights = [
        onnx.numpy_helper.from_array(weight, "fused_weight"),
        onnx.numpy_helper.from_array(0 * weight, "first_weight"),
        onnx.numpy_helper.from_array(weight[:2], "edge_weight"),
    ]
    outputs = ["first", "fused", "edge"]
    nodes = [h.make_node("Conv", ["input.1", f"{name}_weight"], [name]) for name in outputs]
    shapes = {"first": 18, "fused": 18, "edge": 2}
    graph = h.make_graph(
        nodes, "schp",
        [h.make_tensor_value_info("input.1", t, [batch, 3, height, width])],
        [h.make_tensor_value_info(o, t, [batch, shapes[o], height, width]) for o in outputs],
        weights,
    )  # fmt: skip
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def test_a_garbage_onnx_file_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="an extra: make setup-onnx")
    path = tmp_path / "garbage.onnx"
    path.write_bytes(b"garbage")
    with pytest.raises(DataError, match="is not an ONNX network") as caught:
        load_network(path, "cpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="this onnxruntime has no CUDAExecutionProvider"):
        load_network(path, "cuda")


def test_of_a_dict_the_first_tensor_is_the_parse() -> None:
    main, auxiliary = torch.zeros(1, 18, 2, 2), torch.ones(1, 18, 2, 2)
    assert choose_logits({"out": main, "aux": auxiliary}, 18) is main
    assert choose_logits((main, auxiliary), 20) is main


@pytest.mark.parametrize("name", NAMES)
def test_a_transformers_folder_maps_by_name_at_its_own_size(
    name: str, tmp_path: Path, standing_person: Person
) -> None:
    """A real Segformer with random weights, whose head prefers one label everywhere."""
    transformers = pytest.importorskip("transformers", reason="an extra: make setup-text")
    names = NAMES[name].split()
    config = transformers.SegformerConfig(
        num_encoder_blocks=1, depths=[1], sr_ratios=[1], hidden_sizes=[8], patch_sizes=[7],
        strides=[4], num_attention_heads=[1], mlp_ratios=[1], decoder_hidden_size=8,
        id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)},
    )  # fmt: skip
    model = transformers.SegformerForSemanticSegmentation(config)
    skirt = [n.lower() for n in names].index("skirt")
    with torch.no_grad():
        model.decode_head.classifier.bias.zero_()[skirt] = 100
    folder = tmp_path / "parser"
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"size": {"height": 96, "width": 64}}')
    network = load_network(folder, "cpu")
    assert (network.height, network.width) == (96, 64)
    assert standing_person.mask is not None
    frame = np.zeros((*standing_person.mask.shape, 3), np.uint8)
    parser = FileHumanParser(PerceptionConfig(parser_path=str(folder)))
    (labels,) = parser.parse([frame], [standing_person])
    assert labels[200, 100] == ParseLabel.LOWER
