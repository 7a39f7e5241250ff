"""Golden values of mx and nvfp4, from torchao and compressed-tensors on the CPU.

Versions: Python 3.11, torch 2.15.0, torchao 0.18.0, compressed-tensors 0.20.0, numpy (any).
Run: python plugins/blockfloat/golden/make_micro.py

Files, little-endian, beside this script:
  mx.bin      input f32[12, 64]; for each format in FORMATS and each rule in RULES: scale u8[24], code u8[768],
              one a byte, reconstruction f32[768]. From torchao.prototype.mx_formats.mx_tensor.to_mx and to_dtype;
              mxint8, which no package on PyPI had, from the formulas of the specification in float64.
  nvfp4.bin   input f32[12, 64]; global scale f32; scale u8[48]; code u8[768]; reconstruction f32[768]: from
              compressed_tensors' generate_gparam, calculate_qparams, quantize and dequantize. The sign of a code
              of 0 is that of the input, as its packing takes it.
"""

import pathlib

import compressed_tensors
import numpy as np
import torch
import torchao
from compressed_tensors.compressors.nvfp4.helpers import pack_fp4_to_uint8
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from compressed_tensors.quantization.utils.mxfp_utils import generate_mx_scales
from torchao.prototype.mx_formats.config import ScaleCalculationMode
from torchao.prototype.mx_formats.constants import DTYPE_FP6_E2M3, DTYPE_FP6_E3M2
from torchao.prototype.mx_formats.kernels import unpack_uint4
from torchao.prototype.mx_formats.mx_tensor import to_dtype, to_mx

PINNED = {torch: "2.15.0", torchao: "0.18.0", compressed_tensors: "0.20.0"}
for module, version in PINNED.items():
    assert module.__version__.split("+")[0] == version, (module, module.__version__)

torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
ROWS, CHANNELS, BLOCK = 12, 64, 32
FORMATS = {
    "mxfp4": torch.float4_e2m1fn_x2,
    "mxfp6_e2m3": DTYPE_FP6_E2M3,
    "mxfp6_e3m2": DTYPE_FP6_E3M2,
    "mxfp8_e4m3": torch.float8_e4m3fn,
    "mxfp8_e5m2": torch.float8_e5m2,
    "mxint8": None,
}
RULES = {
    "floor": ScaleCalculationMode.FLOOR,
    "even": ScaleCalculationMode.EVEN,
    "ceil": ScaleCalculationMode.RCEIL,
}


def write(name, *arrays):
    data = b"".join(np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays)
    (HERE / name).write_bytes(data)
    print(name, len(data), "bytes")


def make_input():
    torch.manual_seed(22)
    x = torch.randn(ROWS, CHANNELS, dtype=torch.float32)
    x[1] *= 3e4
    x[2] *= 1e-20
    x[3] = 0.0
    x[3, 40] = -0.0
    x[4, 7], x[4, 50] = 3000.0, -7.99
    x[5] = -0.25
    # Ties of every format: multiples of 1/16 with the largest at 4, 6, 7 and 7.5 times a power of two.
    x[6] = torch.arange(CHANNELS) / 16
    x[7] = -torch.arange(CHANNELS) / 8
    x[8] = torch.arange(CHANNELS) / 64 * 1.75
    x[9] = torch.linspace(-7.5, 7.5, CHANNELS)
    x[10] = torch.linspace(-1, 1, CHANNELS) ** 5 * 450
    x[11] = torch.exp2(torch.linspace(-20, 7, CHANNELS))
    return x


def mxint8(x, rule):
    blocks = x.double().numpy().reshape(-1, BLOCK)
    most = np.abs(blocks).max(axis=1, keepdims=True)
    nonzero = np.where(most == 0, 1.0, most)
    if rule == "floor":
        exponent = np.floor(np.log2(nonzero))
    elif rule == "even":
        mantissa, power = np.frexp(nonzero)
        exponent = np.floor(np.log2(np.ldexp(np.floor(mantissa * 128 + 0.5) / 128, power)))
    else:
        exponent = np.ceil(np.log2(nonzero / (127 / 64)))
    exponent = np.where(most == 0, -127, exponent)
    steps = np.clip(np.rint(blocks / np.exp2(exponent) * 64), -127, 127)
    back = (steps / 64 * np.exp2(exponent)).astype(np.float32)
    return (exponent + 127).astype(np.uint8), steps.astype(np.int8).view(np.uint8), back


x = make_input()
arrays = [x.numpy()]
for name, dtype in FORMATS.items():
    for rule, mode in RULES.items():
        if dtype is None:
            arrays.extend(mxint8(x, rule))
            continue
        scale, codes = to_mx(x, dtype, BLOCK, scaling_mode=mode)
        back = to_dtype(codes, scale, dtype, BLOCK, torch.float32)
        if name == "mxfp4":
            codes = unpack_uint4(codes)
        arrays.extend([scale.view(torch.uint8).numpy(), codes.view(torch.uint8).numpy().reshape(-1), back.numpy()])
        # The other implementation of `even` agrees where it uses the element's mantissa bits.
        if rule == "even" and name in ("mxfp4", "mxfp6_e2m3"):
            most = x.reshape(-1, BLOCK).abs().amax(dim=1)
            theirs = generate_mx_scales(most, num_bits=4 if name == "mxfp4" else 6).clamp(0)
            assert torch.equal(theirs.to(torch.uint8), scale.view(torch.uint8).flatten()), name
write("mx.bin", *arrays)

args = QuantizationArgs(
    num_bits=4, type="float", symmetric=True, strategy="tensor_group", group_size=16, scale_dtype=torch.float8_e4m3fn
)
x = make_input()
x[1] *= 1e-3
groups = x.reshape(ROWS, -1, 16)
global_scale = generate_gparam(x.min(), x.max())
scale, zero = calculate_qparams(groups.amin(dim=-1), groups.amax(dim=-1), args, global_scale=global_scale)
q = quantize(x, scale, zero, args, global_scale=global_scale)
back = dequantize(q, scale, zero, args, global_scale=global_scale)
packed = pack_fp4_to_uint8(torch.copysign(q.abs(), x))
codes = torch.stack([packed & 15, packed >> 4], dim=-1).reshape(-1)
scale8 = scale.to(torch.float8_e4m3fn)
assert torch.equal(scale8.float(), scale.float())
write("nvfp4.bin", x.numpy(), global_scale.numpy(), scale8.view(torch.uint8).numpy(), codes.numpy(), back.float().numpy())
