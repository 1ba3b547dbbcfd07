import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kgt import build_key_graph, key_graph_attention

pytest.importorskip("triton")
ROOT = Path(__file__).parents[2]


def test_kernel_equals_the_reference_in_the_interpreter():
    script = Path(__file__).with_name("triton_interpreted.py")
    run = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_without_a_gpu_it_says_what_it_needs():
    q = torch.randn(1, 1, 4, 2)
    graph = build_key_graph(torch.randn(1, 4, 3), 2)
    with pytest.raises(ValueError, match="triton runs on cuda devices, not on cpu"):
        key_graph_attention(q, q, q, graph, backend="triton")


@pytest.mark.parametrize("target", [("cuda", 80, 32), ("cuda", 90, 32), ("hip", "gfx942", 64)])
@pytest.mark.parametrize("window", [0, 32])
def test_kernel_compiles_ahead_of_time(target, window):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from kgt.attention.triton_kernels import gather_attention_forward as kernel
    from kgt.attention.triton_op import BLOCK_K, padded_head_dim

    constants = {
        "HEAD_DIM": 30,
        "PADDED_DIM": padded_head_dim(30),
        "WINDOW": window,
        "BLOCK_K": BLOCK_K,
    }
    types = dict.fromkeys(("q_ptr", "k_ptr", "v_ptr", "bias_ptr", "out_ptr"), "*fp32")
    types |= {"graph_ptr": "*i32", "scale": "fp32"}
    signature = {
        name: "constexpr" if name in constants else types.get(name, "i32")
        for name in kernel.arg_names
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget(*target))
    binary = compiled.asm["cubin" if target[0] == "cuda" else "hsaco"]
    assert len(binary) > 1000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_kernel_equals_the_reference_on_a_gpu():
    graph = build_key_graph(torch.randn(2, 1024, 180, device="cuda"), 128)
    q, k, v = torch.randn(3, 2, 6, 1024, 30, device="cuda").unbind()
    out = key_graph_attention(q, k, v, graph, backend="triton")
    truth = key_graph_attention(q.double(), k.double(), v.double(), graph, backend="reference")
    assert (out.double() - truth).abs().max() < 1e-5
