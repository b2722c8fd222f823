import numpy as np
import torch

from datasets.sample import bytes_to_signed, signed_to_bytes


def test_every_byte_comes_back_from_the_range_of_the_networks():
    values = torch.arange(256, dtype=torch.uint8).reshape(2, 128)
    signed = bytes_to_signed(values)
    expected = values.numpy().astype(np.float32) / 127.5 - 1.0
    assert signed.dtype == torch.float32
    assert torch.equal(signed, torch.from_numpy(expected))
    assert torch.equal(signed_to_bytes(signed), values)


def test_halves_go_to_the_even_byte_and_what_lies_outside_is_clipped():
    signed = torch.tensor([-3.0, -1.0, 0.5 / 127.5 - 1, 0.0, 0.999, 1.0, 1.01, 7.0])
    expected = np.rint((signed.numpy().clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    assert signed_to_bytes(signed).tolist() == expected.tolist()
    assert signed_to_bytes(torch.zeros(1)).item() == 128
    assert signed_to_bytes(signed.bfloat16()).tolist()[-1] == 255
