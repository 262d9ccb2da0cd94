"""Compiles the kernels for GPUs that need not be here; prints the most shared memory of each."""

from __future__ import annotations

import json
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from nearfar import triton_kernels as kernels
from nearfar import triton_path

POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}


def shared_memory(kernel, constants, kind, capability, warps) -> int:
    """Bytes a block. A size of 1 is a constant to the compiler, as at a launch."""

    def type_of(name: str) -> str:
        if name in constants:
            return "constexpr"
        if name in ("own_ptr", "other_ptr"):
            return POINTERS[kind]
        if name in ("n_own", "n_other", "width"):
            return "i32"
        return {"own_codes": "*i64", "other_codes": "*i64", "near_ptr": "*i32"}.get(name, "*fp32")

    names = kernel.arg_names
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in names
               if type_of(name).startswith("*")}  # fmt: skip
    source = ASTSource(
        kernel,
        {name: type_of(name) for name in names},
        {(names.index(name),): value for name, value in constants.items()},
        aligned,
    )
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options={"num_warps": warps}).metadata.shared


def main(capability: int) -> None:
    most = {"row_statistic": 0, "owner_gradient": 0}
    for kind in POINTERS:
        for width in (1, 100, 512):
            for statistic in ("lse", "mean", "softplus"):
                common = {"KIND": statistic, "SCALE": "one", "MATCHES": 2, "EQUAL": 1}
                if width == 1:
                    common |= {"width": 1}
                rows, cols, depth, warps = triton_path._forward_tile(width, kind)
                constants = common | {
                    "HAS_BIAS": True, "HAS_WEIGHT": statistic == "lse", "ROWS": rows, "COLS": cols,
                    "DEPTH": depth, "PRECISION": "ieee", "UPCAST": False,
                }  # fmt: skip
                used = shared_memory(kernels.row_statistic, constants, kind, capability, warps)
                most["row_statistic"] = max(most["row_statistic"], used)
                rows, cols, depth, wide, warps = triton_path._backward_tile(width, kind)
                half = kind is torch.float16
                constants = common | {
                    "BIAS": "none", "WEIGHT": "none", "OWN": True, "OTHER": True, "ROWS": rows,
                    "COLS": cols, "DEPTH": depth, "WIDTH": wide, "WANTS_SUM": True,
                    "PRECISION": "tf32" if half else "ieee", "UPCAST": half,
                }  # fmt: skip
                used = shared_memory(kernels.owner_gradient, constants, kind, capability, warps)
                most["owner_gradient"] = max(most["owner_gradient"], used)
    print(json.dumps(most))


if __name__ == "__main__":
    main(int(sys.argv[1]))
