"""Programs as operators of PyTorch, beside the same operators in PyTorch's own."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install graphc[torch]")

from functorch.compile import make_boxed_func  # noqa: E402
from torch._dynamo.backends.common import aot_autograd  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

from graphc.interop import often  # noqa: E402
from graphc.interop.torch.operator import Operator  # noqa: E402
from graphc.ir.functions import FUNCTIONS  # noqa: E402
from graphc.ir.reductions import REDUCTIONS  # noqa: E402

pytestmark = pytest.mark.peers

N, M, K = gc.dims("N M K")
n, m, k = gc.indices("n m k")


def l1(dtype="float64", name="l1"):
    P, Q, D = gc.tensor("P", N, K, dtype=dtype), gc.tensor("Q", M, K, dtype=dtype), gc.tensor("D")
    D[n, m] += gc.abs(P[n, k] - Q[m, k])
    return gc.to_torch(D, inputs=[P, Q], name=name)


def softmax_layer(dtype="float64"):
    X, A, U, Y = gc.tensor("X", N, K, dtype=dtype), gc.tensor("A", K, M, dtype=dtype), *gc.tensors("U Y")
    U[n, m] += X[n, k] * A[k, m]
    Y[n, m] = gc.exp(U[n, m]) / gc.sum(gc.exp(U[n, k]), over=k)
    return gc.to_torch(Y, inputs=[X, A])


def rnn():
    W, x, h0 = gc.tensor("W", 3, 3, dtype="float64"), gc.tensor("x", N, 3, dtype="float64"), gc.tensor("h0", 3, dtype="float64")
    h = gc.tensor("h")
    t, i, j = gc.indices("t i j")
    h[t, i] = gc.tanh(gc.sum(W[i, j] * h[t - 1, j], over=j) + x[t, i])
    h[-1, i] = h0[i]
    return gc.to_torch(h, inputs=[W, x, h0])


def soft_dtw():
    D, R, S = gc.tensor("D", N, M, dtype="float64"), *gc.tensors("R S")
    i, j = gc.indices("i j")
    R[i, j] = D[i, j] + gc.where((i == 0) & (j == 0), 0, -gc.log(
        gc.where(i > 0, gc.exp(-R[i - 1, j]), 0) + gc.where(j > 0, gc.exp(-R[i, j - 1]), 0)
        + gc.where((i > 0) & (j > 0), gc.exp(-R[i - 1, j - 1]), 0)))
    S[()] = R[N - 1, M - 1]
    return gc.to_torch(S, inputs=[D])


def embedding():
    token, E, Y = gc.tensor("token", N, dtype="int64"), gc.tensor("E", M, K, dtype="float64"), gc.tensor("Y")
    Y[n, k] = gc.sin(E[token[n], k])
    return gc.to_torch(Y, inputs=[token, E])


def largest():
    """Two results, one of integers, and one kept value of integers."""
    X, Y, where = gc.tensor("X", N, K, dtype="float64"), *gc.tensors("Y where")
    Y[n] = gc.max(X[n, k] ** 2, over=k)
    where[n] = gc.argmax(X[n, k] ** 2, over=k)
    return gc.to_torch({"value": Y, "where": where}, inputs=[X])


def arguments(*shapes: tuple[int, ...], dtype: Any = None, grad: bool = True) -> list[Any]:
    torch.manual_seed(1)
    return [torch.randn(shape, dtype=dtype or torch.float64, requires_grad=grad) for shape in shapes]


CASES = {
    "l1": (l1, ((4, 3), (5, 3))), "softmax": (softmax_layer, ((4, 3), (3, 5))), "rnn": (rnn, ((3, 3), (4, 3), (3,))),
    "soft_dtw": (soft_dtw, ((3, 4),)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_both_orders(name: str) -> None:
    make, shapes = CASES[name]
    f, tensors = make(), arguments(*shapes)
    assert torch.autograd.gradcheck(f, tensors)
    assert torch.autograd.gradgradcheck(f, tensors)


@pytest.mark.parametrize("name", CASES)
def test_operators_are_registered_as_they_should(name: str) -> None:
    make, shapes = CASES[name]
    torch.library.opcheck(make().operator, tuple(arguments(*shapes)))


def test_values_are_those_of_pytorch() -> None:
    p, q = arguments((4, 3), (5, 3))
    assert torch.allclose(l1()(p, q), torch.cdist(p, q, p=1))
    x, a = arguments((4, 3), (3, 5))
    found, wanted = softmax_layer()(x, a), torch.softmax(x @ a, 1)
    weights = torch.randn(4, 5, dtype=torch.float64)
    assert torch.allclose(found, wanted)
    for mine, theirs in zip(torch.autograd.grad(found, [x, a], weights), torch.autograd.grad(wanted, [x, a], weights)):
        assert torch.allclose(mine, theirs)


def test_single_precision() -> None:
    p, q = arguments((4, 3), (5, 3), dtype=torch.float32)
    found = l1("float32")(p, q)
    found.sum().backward()
    assert found.dtype == p.grad.dtype == torch.float32
    assert torch.allclose(found, torch.cdist(p, q, p=1))


def test_integers_have_no_gradient() -> None:
    f, (e,) = embedding(), arguments((6, 2))
    token = torch.tensor([1, 5, 1])
    assert torch.autograd.gradcheck(lambda e: f(token, e), [e])
    torch.library.opcheck(f.operator, (token, e))
    with pytest.raises(gc.ArgumentError, match="is 6, but"):
        f(torch.tensor([6]), e)


def test_results_of_integers() -> None:
    f, (x,) = largest(), arguments((4, 5))
    found = f(x)
    assert torch.equal(found["where"], (x**2).argmax(1))
    assert not found["where"].requires_grad
    assert torch.autograd.gradcheck(lambda x: f(x)["value"], [x])
    torch.library.opcheck(f.operator, (x,))


def test_results_of_integers_alone() -> None:
    X, first, last = gc.tensor("X", N, K, dtype="float64"), *gc.tensors("first last")
    first[n], last[n] = gc.argmin(X[n, k], over=k), gc.argmax(X[n, k], over=k)
    f, (x,) = gc.to_torch([first, last], inputs=[X]), arguments((4, 5))
    for found in (f(x), [y[0] for y in torch.func.vmap(f)(x[None])], torch.compile(f, fullgraph=True, backend="aot_eager")(x)):
        assert [y.tolist() for y in found] == [x.argmin(1).tolist(), x.argmax(1).tolist()]
        assert not any(y.requires_grad for y in found)
    assert torch.equal(torch.func.grad(lambda x: (x * f(x)[1][:, None]).sum())(x), x.argmax(1)[:, None].expand(4, 5).double())


def test_results_of_the_same_name() -> None:
    X, Y, Z = gc.tensor("X", N, dtype="float64"), gc.tensor("Y"), gc.tensor("Y")
    Y[n], Z[n] = gc.sin(X[n]), X[n] ** 2
    assert torch.autograd.gradcheck(gc.to_torch([Y, Z], inputs=[X]), arguments((3,)))


def test_results_come_back_as_they_were_asked_for() -> None:
    X, Y, Z = gc.tensor("X", N), *gc.tensors("Y Z")
    Y[n], Z[n] = 2 * X[n], 3 * X[n]
    x = torch.ones(2)
    assert isinstance(gc.to_torch(Y)(X=x), torch.Tensor)
    pair, again = gc.to_torch([(Y, Z), Y], inputs=[X])(x)
    assert pair[1].tolist() == [3, 3]
    assert pair[0].tolist() == again.tolist() == [2, 2]
    assert gc.to_torch({"y": Y}, inputs=[X])(x)["y"].tolist() == [2, 2]
    same = gc.to_torch([X, Y], inputs=[X])(x)[0]
    same += 1
    assert x.tolist() == [1, 1]


# ----------------------------------------------------------------------------------------------------------- torch.compile


@pytest.mark.parametrize("name", CASES)
def test_compiled_graphs_have_no_breaks(name: str) -> None:
    make, shapes = CASES[name]
    f = make()
    compiled = torch.compile(lambda *tensors: f(*tensors).sin().sum(), fullgraph=True, backend="aot_eager")
    tensors = arguments(*shapes)
    wanted = torch.autograd.grad(f(*tensors).sin().sum(), tensors)
    for mine, theirs in zip(torch.autograd.grad(compiled(*tensors), tensors), wanted):
        assert torch.allclose(mine, theirs)


def test_another_size_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    f = l1()
    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    compiled = torch.compile(lambda p, q: f(p, q) * 2, fullgraph=True, dynamic=True, backend=backend)
    with torch.no_grad():
        for rows in (4, 7, 9):
            p, q = arguments((rows, 3), (5, 3))
            assert torch.allclose(compiled(p, q), 2 * torch.cdist(p, q, p=1))
    assert len(graphs) == 1
    f(*arguments((4, 3), (5, 3))).sum().backward()
    monkeypatch.setattr(gc, "compile", None)
    p, q = arguments((6, 2), (3, 2))
    f(p, q).sum().backward()
    assert p.grad.shape == (6, 2)


def test_tensors_without_values() -> None:
    p, q = arguments((4, 3), (5, 3))
    found = l1()(p.to("meta"), q.to("meta"))
    assert found.shape == (4, 5)
    assert found.device.type == "meta"


def test_transforms_of_torch_func() -> None:
    f, (p, q) = l1(), arguments((4, 3), (5, 3), grad=False)

    def theirs(p: Any, q: Any) -> Any:
        return (p[:, None] - q[None]).abs().sum(-1)

    for transformed in (
        lambda f: torch.func.grad(lambda p: f(p, q).sin().sum())(p), lambda f: torch.func.jacrev(f)(p, q),
        lambda f: torch.func.vmap(f, in_dims=(None, 0))(p, q[None] + p[:2, None]),
        lambda f: torch.func.vmap(torch.func.grad(lambda p, q: f(p, q).sin().sum()), in_dims=(1, None))(p[:, None] * q[:2], q),
        lambda f: torch.func.grad(lambda p: torch.func.grad(lambda q: f(p, q).sin().sum())(q).square().sum())(p),
    ):
        assert torch.allclose(transformed(f), transformed(theirs))


def test_compiled_transforms_are_one_program() -> None:
    """PyTorch would call an operator without a rule once for each of many values, and differentiates none under a transform."""
    X, Y, where = gc.tensor("X", N, K, dtype="float64"), *gc.tensors("Y where")
    Y[n] += gc.exp(X[n, k])
    where[n] = gc.argmax(X[n, k], over=k)
    f, (x,) = gc.to_torch([Y, where], inputs=[X]), arguments((3, 2, 4), grad=False)
    calls: list[str] = []

    def compiled(transformed: Any) -> Any:
        def forward(graph: Any, _: Any) -> Any:
            calls.extend(str(node.target) for node in graph.graph.nodes if "graphc" in str(node.target))
            return make_boxed_func(graph.forward)

        return torch.compile(transformed, fullgraph=True, backend=aot_autograd(fw_compiler=forward))

    many = compiled(torch.func.vmap(f, in_dims=1))(x)
    assert torch.allclose(many[0], x.exp().sum(2).t())
    assert torch.equal(many[1], x.argmax(2).t())
    assert len(calls) == 1
    slope = torch.func.grad(lambda x: f(x)[0].sum())
    assert torch.allclose(compiled(torch.func.vmap(slope))(x), x.exp())
    assert torch.allclose(compiled(torch.func.grad(lambda x: slope(x).square().sum()))(x[0]), 2 * x[0].exp() ** 2)
    assert torch.allclose(compiled(torch.func.jacrev(lambda x: f(x)[0]))(x[0]), torch.func.jacrev(lambda x: x.exp().sum(1))(x[0]))


def test_many_adjoints_at_once() -> None:
    f, (x, a) = softmax_layer(), arguments((2, 3), (3, 2))
    wanted = torch.func.jacrev(lambda x, a: torch.softmax(x @ a, 1), (0, 1))(x, a)
    for mine, theirs in zip(torch.autograd.functional.jacobian(f, (x, a), vectorize=True), wanted):
        assert torch.allclose(mine, theirs)
    assert torch.autograd.gradcheck(f, (x, a), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, (x, a), check_batched_grad=True)


def test_tangents_are_refused_and_not_lost() -> None:
    f, (p, q) = l1(), arguments((4, 3), (5, 3), grad=False)
    with torch.autograd.forward_ad.dual_level(), pytest.raises(gc.DifferentiationError, match="no forward mode"):
        f(torch.autograd.forward_ad.make_dual(p, torch.ones_like(p)), q)
    with pytest.raises(gc.DifferentiationError, match="no forward mode"):
        torch.func.jvp(lambda p: f(p, q), (p,), (p,))


# ------------------------------------------------------------------------------------------------------------------ gradient


def test_the_gradient_is_derived_and_compiled_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    X, Y = gc.tensor("X", N, dtype="float64"), gc.tensor("Y")
    Y[n] = gc.exp(gc.sin(X[n]) / 7)
    f, (x,) = gc.to_torch(Y, inputs=[X]), arguments((3,))
    made = []
    compiled = gc.compile
    monkeypatch.setattr(gc, "compile", lambda *a, **b: made.append(a) or compiled(*a, **b))
    f(x.detach())
    assert not f._operator._gradients
    y = f(x)
    assert f._operator._gradients
    assert not made
    y.sum().backward()
    assert len(made) == 1


def test_the_gradient_reads_what_the_forward_program_keeps() -> None:
    f, (x, a) = softmax_layer(), arguments((4, 3), (3, 5))
    f(x, a)
    gradient = f._operator.gradient(0b11)
    assert [t.name for t in gradient.results] == ["Y", "U", "Y.sum.log"]
    assert [t.name for t in l1()._operator.gradient(0b11).results] == ["D"]


def test_what_is_not_read_may_be_changed() -> None:
    X, Y = gc.tensor("X", N, K, dtype="float64"), gc.tensor("Y")
    Y[n] += X[n, k]
    (x,) = arguments((4, 3))
    changed = x * 1
    y = gc.to_torch(Y, inputs=[X])(changed)
    changed += 1
    y.sum().backward()
    assert x.grad.tolist() == [[1] * 3] * 4


def test_parts_of_a_gradient() -> None:
    f, (x, a) = softmax_layer(), arguments((4, 3), (3, 5))
    y = f(x, a)
    both = torch.autograd.grad(y, [x, a], y, retain_graph=True)
    for one, tensor in zip(both, (x, a)):
        assert torch.allclose(torch.autograd.grad(y, [tensor], y, retain_graph=True)[0], one)
    assert torch.allclose(torch.autograd.grad(f(x.detach(), a), [a], y)[0], both[1])


def test_some_results_have_no_adjoint() -> None:
    X, A, Y, Z = gc.tensor("X", N, dtype="float64"), gc.tensor("A", N, dtype="float64"), *gc.tensors("Y Z")
    Y[n] = gc.exp(X[n] * A[n])
    Z[()] = gc.max(X[n] * A[n], over=n) + gc.sum(X[n] ** 3, over=n)
    f, (x, a) = gc.to_torch([Y, Z], inputs=[X, A]), arguments((4,), (4,))
    for pick in (lambda y, z: y.sum(), lambda y, z: z, lambda y, z: y.sum() * z):
        assert torch.autograd.gradcheck(lambda x, a, pick=pick: pick(*f(x, a)), [x, a])
        assert torch.autograd.gradgradcheck(lambda x, a, pick=pick: pick(*f(x, a)), [x, a])
    _, z = f(x, a)
    assert torch.allclose(torch.autograd.grad(z, [x])[0], a * (x * a == (x * a).max()) + 3 * x**2)


def test_third_derivatives() -> None:
    X, Y = gc.tensor("X", N, dtype="float64"), gc.tensor("Y")
    Y[n] = gc.sin(2 * X[n])
    (x,) = arguments((3,))
    y = gc.to_torch(Y, inputs=[X])(x).sum()
    for _ in range(3):
        (y,) = torch.autograd.grad(y.sum(), [x], create_graph=True)
    assert torch.allclose(y, -8 * torch.cos(2 * x))


def test_hand_written_gradients_count() -> None:
    X, Y = gc.tensor("X", N, dtype="float64"), gc.tensor("Y")
    Y[n] = gc.round(X[n])

    def straight(dY: gc.Tensor) -> gc.Tensor:
        dX = gc.tensor("dX")
        dX[n] = dY[n]
        return dX

    (x,) = arguments((3,))
    gc.to_torch(gc.custom_grad(Y, {X: straight}), inputs=[X])(x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


# -------------------------------------------------------------------------------------------------------------------- memory


def test_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    f, (p, q) = l1(name="copied"), arguments((4, 3), (5, 3))
    seen = []
    call = gc.Program.__call__
    monkeypatch.setattr(gc.Program, "__call__", lambda self, arrays: seen.append((arrays, call(self, arrays))) or seen[-1][1])
    found = f(p, q)
    arrays, results = seen[0]
    assert [arrays[name].ctypes.data for name in "PQ"] == [p.data_ptr(), q.data_ptr()]
    assert results[0].ctypes.data == found.data_ptr()


def views(x: Any) -> list[Any]:
    doubled = torch.stack([x, x], -1)
    conjugate = torch.complex(torch.zeros_like(x), -x).conj().imag
    assert conjugate.is_neg()
    return [x.t().contiguous().t(), doubled[..., 1], x.flip(0).flip(0), torch.cat([x, x])[len(x):], conjugate]


def test_tensors_with_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(often, "VERY_OFTEN", 2)
    monkeypatch.setattr(often, "OFTEN", 1)
    f, (p, q) = l1(name="gaps"), arguments((4, 3), (5, 3), grad=False)
    wanted = torch.cdist(p, q, p=1)
    for _ in range(4):
        assert all(torch.allclose(f(view, q), wanted) for view in views(p))
        one = p[:1].expand(4, 3)
        assert torch.allclose(f(one, q), wanted[:1].expand(4, 5))
        single = torch.complex(torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)).conj().imag
        assert f(single, single.resolve_neg() + 3).item() == 3
    assert f._operator.kernel._often.calls


def test_tensors_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(often, "VERY_OFTEN", 2)
    X, Y = gc.tensor("X", N, K), gc.tensor("Y")
    Y[n, k] = X[n, k] + 4
    f, (x,) = gc.to_torch(Y, inputs=[X], name="memory"), arguments((3, 2), dtype=torch.float32, grad=False)
    for _ in range(3):  # by the program, then by address
        assert torch.equal(f(x), x + 4)
        assert torch.equal(f(torch._efficientzerotensor((3, 2))), torch.full((3, 2), 4.0))
        for freed in (x.clone(), x.t().contiguous().t()):
            freed.untyped_storage().resize_(0)
            with pytest.raises(gc.ArgumentError, match="has no memory"):
                f(freed)
        for other in (x.to_sparse(), x.to_sparse_csr(), x.to_mkldnn(), torch.nested.nested_tensor([x[0], x[0, :1]])):
            with pytest.raises(gc.ArgumentError, match=r"layout|nested"):
                f(other)
    assert f._operator.kernel._often.calls


def test_calls_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(often, "VERY_OFTEN", 2)
    X, A, Y, Z = gc.tensor("X", N), gc.tensor("A", N), *gc.tensors("Y Z")
    Y[n], Z[()] = X[n] * A[n] + 4, gc.sum(A[n], over=n)
    f, (x, a) = gc.to_torch([Y, Z], inputs=[X, A], name="often"), arguments((3,), (3,), dtype=torch.float32)
    for _ in range(5):
        y, z = f(x, a)
        dx, da = torch.autograd.grad(y.sum() * z, [x, a])
        assert torch.allclose(y, x * a + 4)
        assert torch.allclose(dx, a * a.sum())
        assert torch.allclose(da, x * z + y.sum())
    assert f._operator.kernel._often.calls
    with pytest.raises(gc.DtypeError):
        f(x.double(), a.double())
    with torch.inference_mode():
        assert f(x, a)[0].is_inference()
    assert f(torch.ones(5), torch.ones(5))[0].tolist() == [5] * 5
    assert f(torch.ones(0), torch.ones(0))[0].shape == (0,)


def test_a_change_between_forward_and_backward_is_seen() -> None:
    f, (x, a) = softmax_layer(), arguments((4, 3), (3, 5))
    changed = x * 1
    y = f(changed, a)
    changed += 1
    with pytest.raises(gc.ArgumentError, match="changed in place"):
        y.sum().backward()
    y = f(x, a)
    with torch.no_grad():
        y.mul_(2)
    with pytest.raises(gc.ArgumentError, match="Y"):
        y.sum().backward()


def test_many_threads_at_once() -> None:
    f, g = l1(), softmax_layer()
    wrong = []

    def work(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for step in range(10):
            p = torch.randn(3 + step % 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
            q = torch.randn(4, 4, dtype=torch.float64, generator=generator, requires_grad=True)
            for mine, theirs in ((f(p, q), torch.cdist(p, q, p=1)), (g(p, q), torch.softmax(p @ q, 1))):
                pairs = zip(torch.autograd.grad((mine * mine).sum(), [p, q]), torch.autograd.grad((theirs * theirs).sum(), [p, q]))
                if not all(torch.allclose(a, b) for a, b in [(mine, theirs), *pairs]):
                    wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_autocast_computes_in_the_type_of_the_program() -> None:
    f, (p, q) = l1("float32"), arguments((4, 3), (5, 3), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = p @ torch.eye(3)
        assert low.dtype == torch.bfloat16
        found = f(low, q)
    assert found.dtype == torch.float32
    assert torch.allclose(found, torch.cdist(low.float(), q, p=1))
    found.sum().backward()
    assert p.grad is not None
    with pytest.raises(gc.DtypeError):
        f(p.bfloat16(), q)


# -------------------------------------------------------------------------------------------------------------------- modules


def network() -> Any:
    X, T, L = gc.tensor("X", N, 1, 6, 6), gc.tensor("T", N, dtype="int64"), None
    hidden = gc.nn.relu(gc.nn.Conv2d(2, 3, name="conv1")(X))
    logits = gc.nn.Linear(3, name="fc")(gc.nn.flatten(hidden))
    L = gc.nn.cross_entropy(logits, T)
    return gc.to_torch([L, logits], inputs=[X, T], name="net")


def test_modules_have_parameters_and_a_state() -> None:
    module = network().module(seed=3)
    assert list(module.state_dict()) == ["conv1.weight", "conv1.bias", "fc.weight", "fc.bias"]
    assert module.conv1.weight.shape == (2, 1, 3, 3)
    x, t = torch.randn(4, 1, 6, 6), torch.tensor([0, 1, 2, 0])

    class Same(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.fc = torch.nn.Conv2d(1, 2, 3), torch.nn.Linear(32, 3)

        def forward(self, x: Any) -> Any:
            return self.fc(self.conv1(x).relu().flatten(1))

    theirs = Same()
    theirs.load_state_dict(module.state_dict())
    assert torch.allclose(module(x, t)[1], theirs(x), atol=1e-6)
    module(x, t)[0].backward()
    torch.nn.functional.cross_entropy(theirs(x), t).backward()
    for mine, other in zip(module.parameters(), theirs.parameters()):
        assert torch.allclose(mine.grad, other.grad, atol=1e-6)


def test_modules_learn_are_copied_and_compiled() -> None:
    module = network().module(seed=3)
    x, t = torch.randn(6, 1, 6, 6), torch.tensor([0, 1, 2, 0, 1, 2])
    before = copy.deepcopy(module)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss, _ = module(x, T=t)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert before(x, t)[0].item() == pytest.approx(losses[0])
    before.load_state_dict(module.state_dict())
    compiled = torch.compile(before, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, t)[1], module(x, t)[1], atol=1e-6)


def test_other_tensors_in_the_place_of_parameters() -> None:
    W, X, Y = gc.parameter("inner.W", M, init="normal"), gc.tensor("X", N, M), gc.tensor("Y")
    Y[n] += X[n, m] * W[m]
    f = gc.to_torch(Y, inputs=[X])
    module, x = f.module(M=2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    given = {"inner.W": torch.tensor([10.0, 1.0])}
    assert torch.func.functional_call(module, given, (x,)).tolist() == [12, 34]
    each = torch.func.vmap(torch.func.grad(lambda w, x: torch.func.functional_call(module, w, (x[None],)).sum()), (None, 0))
    assert torch.equal(each(given, x)["inner.W"], x)
    prune.random_unstructured(module.inner, "W", amount=1)
    assert torch.equal(module(x), f(x, **{"inner.W": module.inner.W}))
    normed = torch.nn.utils.parametrizations.spectral_norm(f.module(M=2).inner, "W")
    assert normed.W.norm().item() == pytest.approx(1)


def test_modules_are_saved(tmp_path: Path) -> None:
    module = network().module(seed=3)
    torch.save(module, tmp_path / "net.pt")
    again = torch.load(tmp_path / "net.pt", weights_only=False)
    x, t = torch.randn(4, 1, 6, 6), torch.tensor([0, 1, 2, 0])
    assert torch.equal(again(x, t)[1], module(x, t)[1])
    assert again.function.name == module.function.name
    f = pickle.loads(pickle.dumps(largest()))
    assert f(torch.tensor([[1.0, 2.0]], dtype=torch.float64))["where"].tolist() == [1]


def test_programs_of_many_parameters() -> None:
    X, Y = gc.tensor("X", N), gc.tensor("Y")
    weights = [gc.parameter(f"layers.w{k}", (), init="ones") for k in range(70)]
    Y[n] = X[n] * sum(w[()] for w in weights)
    module = gc.to_torch(Y, inputs=[X]).module()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    compiled(torch.ones(2)).sum().backward()
    assert [w.grad.item() for w in module.parameters()] == [2] * 70
    many = torch.compile(torch.func.vmap(lambda x: module(x)), fullgraph=True, backend="aot_eager")
    assert many(torch.ones(3, 2)).tolist() == [[70, 70]] * 3


def test_parameters_that_are_given() -> None:
    W, X, Y = gc.parameter("W", M, init="normal"), gc.tensor("X", N, M), gc.tensor("Y")
    Y[n] += X[n, m] * W[m]
    f = gc.to_torch(Y, inputs=[X])
    assert f.module(initial={"W": np.float32([1, 2])})(torch.ones(1, 2)).tolist() == [3]
    assert f.module(initial={"W": np.array([1, 2])})(torch.ones(1, 2)).tolist() == [3]
    assert torch.equal(f.module(seed=1, M=3).W, f.module(seed=1, M=3).W)
    assert f(torch.ones(1, 2), W=torch.ones(2)).tolist() == [2]


def test_arguments_in_a_dictionary() -> None:
    x, y = gc.tensor("x", N, 6), gc.tensor("y", N, dtype="int64")
    net = gc.to_torch(gc.nn.cross_entropy(gc.nn.Linear(3, name="fc")(x), y), inputs=[x, y], name="net")
    params = {name: value.detach().requires_grad_() for name, value in net.module().named_parameters()}
    data, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 1, 0])
    expected = net(data, labels, **params)
    for found in (net(params, data, labels), net({"other": None, **params}, data, y=labels), net(params | {"x": data}, y=labels)):
        assert torch.equal(found, expected)
    slopes = torch.autograd.grad(expected, list(params.values()))
    of_transform = torch.func.grad(lambda p: net(p, data, labels))(params)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    for found in (torch.autograd.grad(compiled(params, data, labels), list(params.values())), of_transform.values()):
        assert all(map(torch.allclose, found, slopes))


def test_a_dictionary_with_as_many_arguments_as_there_are() -> None:
    """The length of the call does not tell that it is there."""
    f = l1("float32")
    x, c = torch.randn(4, 2), torch.randn(3, 2)
    for _ in range(often.VERY_OFTEN + 1):
        expected = f(x, c)
    assert torch.equal(f({"Q": c}, x), expected)
    assert torch.equal(torch.compile(f, fullgraph=True, backend="eager")({"Q": c}, x), expected)


def test_modules_take_a_dictionary() -> None:
    x = gc.tensor("x", N, 6)
    module = gc.to_torch(gc.nn.Dropout(name="drop")(gc.nn.Linear(3, name="fc")(x)), inputs=[x], name="net").module()
    data, step = torch.randn(5, 6), torch.tensor(3)
    assert torch.equal(module({"drop.step": step}, data), module(data, **{"drop.step": step}))


def test_equal_programs_are_one_operator() -> None:
    assert l1().name == l1().name != l1("float32").name
    assert l1()._operator is l1()._operator


def powered(slope: Any, combine: Any = None) -> str:
    """The name of an operator, of functions and reductions of the user's that are defined differently by other arguments."""
    FUNCTIONS.pop("squared", None)
    REDUCTIONS.pop("joined", None)
    inner = gc.function("squared", lambda x: x * x, grad=slope)
    joined = gc.reduction("joined", lambda a, b: a + b, 0, grad=combine)
    X, Y = gc.tensor("X", N, K), gc.tensor("Y")
    Y[n] = joined(inner(X[n, k]), over=k)
    return gc.to_torch(Y, inputs=[X]).name


def test_programs_whose_functions_have_other_gradients_are_other_operators() -> None:
    """PyTorch's caches on disk, which outlive the process, know operators by name."""
    plain = powered(lambda x, y: 2 * x)
    assert plain == powered(lambda x, y: 2 * x)
    assert len({plain, powered(lambda x, y: 3 * x), powered(None), powered(lambda x, y: 2 * x, lambda x, y: 1)}) == 4


def test_names_that_pytorch_does_not_take() -> None:
    first, own, Y = gc.tensor("x1", N), gc.tensor("self", N), gc.tensor("Größe")
    Y[n] = first[n] + own[n]
    f = gc.to_torch(Y, inputs=[first, own])
    assert f.operator(torch.ones(2), torch.ones(2)).tolist() == [2, 2]
    assert [argument.name for argument in f.operator._schema.arguments] == ["x1", "x2"]
    assert f.name.isascii()


def test_threads_register_an_operator_once() -> None:
    found, barrier = l1(name="registered")._operator, threading.Barrier(4)
    operator, errors = Operator(f"{found.name}_again", found.outputs, found.inputs), []

    def register() -> None:
        barrier.wait()
        try:
            operator.overload  # noqa: B018
        except RuntimeError as error:
            errors.append(error)

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
