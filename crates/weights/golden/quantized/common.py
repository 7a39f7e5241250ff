"""What the scripts of this folder share: seeded weights, scales, and the three files of one checkpoint."""

import json
import os

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
FOLDER = os.path.dirname(os.path.abspath(__file__))


def random(*shape, seed, dtype=torch.bfloat16):
    """Normal values with a few large ones, as weights have."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator) * 0.05
    values.view(-1)[::37] *= 6
    return values.to(dtype)


def words(*shape, seed):
    """32-bit words of random bits."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-(2**31), 2**31, shape, generator=generator, dtype=torch.int64).to(torch.int32)


def save(name, config, stored, dense):
    """NAME.config.json, NAME.safetensors as a checkpoint has them, and NAME.dense.safetensors, the reference's result."""
    with open(os.path.join(FOLDER, f"{name}.config.json"), "w") as out:
        json.dump(config, out, indent=1)
        out.write("\n")
    contiguous = lambda tensors: {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(contiguous(stored), os.path.join(FOLDER, f"{name}.safetensors"))
    save_file(contiguous(dense), os.path.join(FOLDER, f"{name}.dense.safetensors"))
