import importlib
import subprocess
import sys

import pytest
import torch

from models.embeddings import CaptionEmbedding
from models.text import CaptionConfig, build_captions, encode_caption, main
from models.weights.files import read_provenance, read_weights

PROMPT = "a dancing person"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder as DeepFloyd/t5-v1_1-xxl is one: T5 of v1.1's shape, and its kind of tokenizer."""
    transformers = pytest.importorskip("transformers", reason="the extra [text] is not installed")
    pieces = pytest.importorskip("sentencepiece", reason="the extra [text] is not installed")
    folder = tmp_path_factory.mktemp("tiny-t5")
    words = [
        "a",
        "dancing",
        "person",
        "in",
        "a",
        "red",
        "dress",
        "turns",
        "and",
        "jumps",
        "on",
        "the",
        "stage",
    ]
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(" ".join(words[i:] + words[:i]) for i in range(len(words))) * 9)
    pieces.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "spiece"), vocab_size=48, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=3,
    )  # fmt: skip
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=160, d_model=12, d_kv=4, d_ff=24, num_layers=2, num_heads=3,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    transformers.T5EncoderModel(config).save_pretrained(folder)
    return folder


def test_the_command_makes_a_caption_that_a_network_takes(tmp_path, encoder, capsys):
    out = tmp_path / "caption.safetensors"
    words = [f"  {PROMPT.upper()} ", str(out), "--encoder", str(encoder), "--precision", "float32"]
    assert main(words) == 0
    assert f"4 tokens of {words[0]!r} in 120, width 12" in capsys.readouterr().out
    transformers = importlib.import_module("transformers")
    tokens = transformers.AutoTokenizer.from_pretrained(encoder)(PROMPT, return_tensors="pt")
    with torch.no_grad():
        alone = transformers.T5EncoderModel.from_pretrained(encoder).eval()(**tokens)
    written = read_weights(out)
    assert written["caption"].shape == (120, 12)
    assert written["mask"].tolist() == [1] * 4 + [0] * 116
    torch.testing.assert_close(written["caption"][:4], alone.last_hidden_state[0])
    notes = read_provenance(out)
    assert (notes["encoder"], notes["precision"]) == (encoder.name, "float32")
    captions = build_captions(
        CaptionConfig(kind="file", path=str(out)), CaptionEmbedding(12, 120, 32)
    )
    caption, mask = captions(2)
    assert caption.shape == (2, 120, 12)
    assert mask is not None
    assert int(mask.sum()) == 8
    assert main(words) == 2
    assert "exists; give another name, or --overwrite" in capsys.readouterr().err


def test_bfloat16_is_near_float32(encoder):
    half, _ = encode_caption(PROMPT, encoder, num_tokens=8)
    full, _ = encode_caption(PROMPT, encoder, num_tokens=8, precision="float32")
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    torch.testing.assert_close(half[:4], full[:4], atol=0.1, rtol=0.1)


def test_prompts_and_encoders_that_do_not_fit_are_refused(tmp_path, encoder):
    with pytest.raises(ValueError, match="the prompt has 4 tokens; the network takes 3"):
        encode_caption(PROMPT, encoder, num_tokens=3)
    state = read_weights(encoder / "model.safetensors")
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("config.json", "spiece.model"):
        (broken / name).write_bytes((encoder / name).read_bytes())
    with pytest.raises(ValueError, match=r"broken is not a T5 encoder: .*no file named"):
        encode_caption(PROMPT, broken)
    name = "encoder.block.1.layer.0.SelfAttention.q.weight"
    state["encoder.stray.weight"] = state.pop(name)
    torch.save(state, broken / "pytorch_model.bin")
    with pytest.raises(ValueError, match=f"not a complete T5 encoder; keys missing: {name}"):
        encode_caption(PROMPT, broken)


def test_a_folder_that_lacks_a_file_is_named_with_it(tmp_path):
    with pytest.raises(ValueError, match=r"it has no config\.json; download DeepFloyd/t5"):
        encode_caption(PROMPT, tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ValueError, match=r"it has no spiece\.model or tokenizer\.json"):
        encode_caption(PROMPT, tmp_path)
    with pytest.raises(ValueError, match="the prompt is empty"):
        encode_caption("  ", tmp_path)


def test_without_transformers_the_command_says_what_to_install(tmp_path):
    for name in ("config.json", "spiece.model"):
        (tmp_path / name).write_text("{}")
    code = (
        "import sys\n"
        "sys.modules['transformers'] = None\n"
        "from models.text import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [PROMPT, str(tmp_path / "out.safetensors"), "--encoder", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "needs transformers" in run.stderr
    assert "make setup-text" in run.stderr
    assert not (tmp_path / "out.safetensors").exists()
