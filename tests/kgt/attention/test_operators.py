"""What torch's own tools ask of the operators, and derivatives beyond the first gradient."""

import pytest
import torch
import torch.autograd.forward_ad as forward_ad

from kgt import build_key_graph, key_graph_attention
from kgt.attention.key_graph import KeyGraph
from kgt.attention.native.backend import plan_groups

REGIONS = torch.arange(16)[None] // 6
WAY_OUT = r"; for one, call key_graph_attention with backend=\"torch-gather\""


def problem(dtype=torch.float32, regions=None):
    graph = build_key_graph(torch.randn(2, 16, 5), 4, regions=regions)
    q, k, v = torch.randn(3, 2, 3, 16, 8).to(dtype).unbind()
    # A table as networks make it: not contiguous.
    return q, k, v, graph, torch.randn(7, 7, 3).permute(2, 0, 1)


def cases():
    """For every operator lists of arguments."""
    for dtype in (torch.float32, torch.bfloat16):
        for regions in (None, REGIONS):
            q, k, v, graph, bias = problem(dtype, regions)
            key_graph_attention(q, k, v, graph, backend="native")
            plan = graph.derived[plan_groups]
            for table in (None, bias):
                tensors = (q.mT.contiguous().mT, k, v, graph.indices, plan, table)
                leaves = [t.detach().requires_grad_() for t in (*tensors[:3], bias)]
                yield (
                    "attention_forward",
                    (*leaves[:3], *tensors[3:5], None if table is None else leaves[3], 0.5),
                )
                results = torch.ops.kgt.attention_forward(*tensors, 0.5)
                grad = torch.randn_like(q)
                yield "attention_backward", (grad, *tensors, *results, 0.5)
    features = torch.randn(2, 16, 5)
    for offsets in (None, torch.randn(2, 16)):
        yield "select_keys", (features, offsets, 4, True, None)
        yield "select_keys", (features, offsets, 15, False, REGIONS)
        yield "find_keys", (features, offsets, 4, True, None, "auto")
        yield "find_keys", (features, offsets, 15, False, REGIONS, "torch")
    yield "plan_attention", (graph.indices,)
    yield "plan_at_full_length", (graph.indices,)


def test_torch_checks_every_operator():
    checked = {"amx_available"}  # takes no tensor
    for name, arguments in cases():
        torch.library.opcheck(getattr(torch.ops.kgt, name).default, arguments)
        checked.add(name)
    triton = {"triton_forward", "triton_backward"}  # checked in Triton's interpreter
    names = {name.split(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    assert {name for name in names if name.startswith("kgt::")} == {
        f"kgt::{name}" for name in checked | triton
    }


def sum_of_squares(backend):
    q, k, v, graph, bias = problem()
    return q, lambda q: key_graph_attention(q, k, v, graph, bias, backend).square().sum()


def test_a_second_derivative_is_refused_not_zero():
    q, function = sum_of_squares("native")
    q.requires_grad_()
    (first,) = torch.autograd.grad(function(q), q, create_graph=True)
    with pytest.raises(RuntimeError, match=f"attention_backward has no second deriv.*{WAY_OUT}"):
        first.square().sum().backward()


def test_the_way_out_has_them():
    q, k, v, graph, bias = problem(torch.float64)
    leaves = [t[:1, :1, :, :2].requires_grad_() for t in (q, k, v)]
    table = bias[:1].double().requires_grad_()
    graph = KeyGraph(graph.indices[:1], graph.k)

    def attend(*tensors):
        return key_graph_attention(*tensors[:3], graph, tensors[3], "torch-gather")

    assert torch.autograd.gradgradcheck(attend, (*leaves, table), check_fwd_over_rev=True)


@pytest.mark.parametrize("backend", ["native", "flex"])
def test_a_forward_mode_derivative_is_refused_not_lost(backend):
    q, function = sum_of_squares(backend)
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="forward-mode"):
        function(forward_ad.make_dual(q, torch.ones_like(q)))
    with pytest.raises(RuntimeError):
        torch.func.jvp(function, (q,), (torch.ones_like(q),))


def test_torch_func_sees_the_gradient():
    q, native = sum_of_squares("native")
    torch.manual_seed(0)
    _, gather = sum_of_squares("torch-gather")
    exact = torch.func.grad(gather)(q)
    torch.testing.assert_close(torch.func.grad(native)(q), exact)
    (pulled,) = torch.func.vjp(native, q)[1](torch.ones(()))
    torch.testing.assert_close(pulled, exact)
    batch = torch.stack([q, 2 * q])
    per_sample = torch.vmap(torch.func.grad(native))(batch)
    torch.testing.assert_close(per_sample, torch.stack([exact, torch.func.grad(gather)(2 * q)]))
    with pytest.raises(RuntimeError, match=WAY_OUT):
        torch.func.hessian(native)(q)


@pytest.mark.parametrize("backend", ["native", "torch-gather", "torch-mask"])
def test_a_result_may_be_changed_in_place(backend):
    q, k, v, graph, bias = problem()
    q.requires_grad_()
    found = []
    for change in (torch.Tensor.mul_, torch.mul):
        out = key_graph_attention(q, k, v, graph, bias, backend)
        found += torch.autograd.grad(change(out, 3.0).square().sum(), q)
    assert found[0].equal(found[1])
