"""strait's codecs as a PyTorch user writes them: quantise and dequantise, vectorised over all tokens.

The formulas are those of `plugins/{cast,affine,blockfloat}`, the names and parameters those of an
experiment file. Nothing is packed into bytes: hooks that only evaluate need no payload, so the peer
has less to do here than strait.
"""

import torch

# Sixteen quantiles of the normal distribution, scaled to [-1, 1] (QLoRA, appendix E).
NF4 = torch.tensor([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
])  # fmt: skip
NF4_MIDPOINTS = (NF4[1:] + NF4[:-1]) / 2


def make(codec, params):
    """The function from f32 hidden states `[..., channels]` to what a decoder gives back."""
    makers = {"cast": cast, "affine": affine, "blockfloat": blockfloat}
    if codec not in makers:
        raise ValueError(f"expected one of {', '.join(makers)}, found {codec!r}: add it to {__file__}")
    return makers[codec](**params)


def cast(to, scale=None):
    if to == "bf16" and scale is None:
        return lambda x: x.to(torch.bfloat16).to(x.dtype)
    if to != "fp8_e4m3" or scale != "token":
        raise ValueError(f"cast to {to!r} with scale {scale!r} is none of the peer's codecs")

    def fp8_per_token(x):
        scales = x.abs().amax(dim=-1, keepdim=True) / 448.0
        scales.masked_fill_(scales == 0, 1.0)
        return (x / scales).to(torch.float8_e4m3fn).to(x.dtype).mul_(scales)

    return fp8_per_token


def affine(bits, granularity="token", group=64):
    """Asymmetric: the range includes 0, the scale is stored in f16, the zero point in `bits` bits."""
    levels = 2**bits - 1
    largest = torch.finfo(torch.float16).max

    def quantise(x):
        low, high = torch.aminmax(x, dim=-1, keepdim=True)
        low.clamp_(max=0.0)
        high.clamp_(min=0.0)
        scales = (high - low).div_(levels).clamp_(max=largest).half().to(x.dtype)
        divisors = scales.masked_fill(scales == 0, 1.0)
        zeros = (-low / divisors).round_().clamp_(0, levels)
        # The bounds are integers, so clamping after rounding is the same as before.
        return (x / divisors).round_().clamp_(-zeros, levels - zeros).mul_(scales)

    if granularity == "token":
        return quantise
    if granularity != "group":
        raise ValueError(f"affine per {granularity!r} is none of the peer's codecs")
    return lambda x: quantise(x.unflatten(-1, (-1, group))).flatten(-2)


def blockfloat(code, block=64, absmax="f32"):
    if code != "nf4" or absmax != "f32":
        raise ValueError(f"{code!r} with absmax in {absmax!r} is none of the peer's codecs")

    def nf4(x):
        blocks = x.unflatten(-1, (-1, block))
        most = blocks.abs().amax(dim=-1, keepdim=True)
        scaled = blocks * most.clamp(min=1e-38).reciprocal_()
        codes = torch.bucketize(scaled, NF4_MIDPOINTS, out_int32=True)
        return NF4[codes].mul_(most).flatten(-2)

    return nf4
