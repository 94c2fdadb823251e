"""`gc.to_scipy`: programs as functions of one flat vector, for `scipy.optimize` and `scipy.sparse.linalg`.

SciPy is imported when a `LinearOperator` is asked for; everything else is NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphc as gc
from graphc.requests import check_floats, check_tensors, listed, refusal

__all__ = ["Objective", "Packing", "Residuals", "to_scipy"]

Vector = NDArray[np.float64]
Array = NDArray[Any]


def to_scipy(
    output: gc.Tensor, wrt: Any, arrays: Mapping[str, Any] | None = None, /, *, precision: str | None = "float64", seed: int = 0,
    threads: int | None = None, **named: Any,
) -> Any:
    """Functions of one flat float64 vector, ready for `scipy.optimize.minimize`, `least_squares` and `scipy.sparse.linalg`.

    Args:
        output: a scalar tensor to be minimised, or a tensor of any shape: residuals.
        wrt: a tensor or a list of tensors, inputs of the program: the unknowns, which the vector holds one after the other.
        arrays: arguments of the program by name; it may hold more than is needed. Those of the unknowns are where to start (parameters
            start from their initialisers otherwise, other unknowns from zeros); all others stay as they are now: they are copied.
        named: arguments as well, and values of sizes that no array tells.
        precision: of all float tensors: "float64", "float32", or None for the types that they were declared with. Arrays are converted.
        seed: of the initialisers.
        threads: as for `graphc.compile`.

    Returns:
        `Objective` if `output` is a scalar, else `Residuals`.

    Raises:
        ArgumentError: there is no unknown, one is no input of the program, an argument is missing, unknown or no array of real numbers,
            or a size is not known.
        DtypeError: an unknown or the output has no float type.

    >>> import numpy as np, scipy.optimize, graphc as gc
    >>> N = gc.dim("N")
    >>> i, x, L = gc.index("i", N - 1), gc.tensor("x", N), gc.tensor("L")
    >>> L[()] += 100*(x[i + 1] - x[i]**2)**2 + (1 - x[i])**2
    >>> rosenbrock = gc.to_scipy(L, x, N=4)
    >>> result = scipy.optimize.minimize(rosenbrock.fun_and_jac, rosenbrock.x0, jac=True, options={"gtol": 1e-8})
    >>> rosenbrock.unpack(result.x)["x"].round(4)
    array([1., 1., 1., 1.], dtype=float32)
    """
    text = f"to_scipy({listed(output)}, {listed(wrt)}, …)"
    unknowns = list(wrt) if isinstance(wrt, list | tuple) else [wrt]
    check_tensors([output, *unknowns], "to_scipy", text)
    if not unknowns:
        raise refusal(gc.ArgumentError, "There is no unknown.", text, listed(wrt), "name at least one input of the program.")
    if not isinstance(arrays, Mapping | None):
        raise refusal(gc.ArgumentError, f"The third argument is a dict of arrays by name, not of type {type(arrays).__name__}.", text, "…",
                      "pass arrays by name: X=….")
    check_floats([output, *unknowns], text)
    program = gc.compile([output, *(t for t in unknowns if not t.statements)], precision=precision, threads=threads)
    for tensor in unknowns:
        if tensor.name not in program.inputs or unknowns.count(tensor) > 1:
            what = "is defined by statements; only inputs can be unknowns" if tensor.statements else "is given twice"
            raise refusal(gc.ArgumentError, f"{tensor.name} {what}.", text, tensor, "name inputs of the program, each once.")
    given = {name: value for name, value in (arrays or {}).items() if name in program.inputs} | named
    packing, fixed = _bound(program, [t.name for t in unknowns], [t.dtype for t in unknowns], given, seed)
    compiled = partial(gc.compile, precision=precision, threads=threads)
    return (Residuals if output.shape else Objective)(output, unknowns, packing, fixed, compiled)


# ------------------------------------------------------------------------------------------------------------------ vectors


@dataclass(frozen=True)
class Packing:
    """Where the unknowns lie in a vector.

    Attributes:
        names: of the tensors.
        shapes: of their arrays.
        dtypes: with which the tensors were declared.
        start: the vector to start from.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    start: Vector

    def parts(self, x: Any, what: str = "The vector") -> dict[str, Vector]:
        """The part of the vector for every unknown, in the shape of its array.

        Raises:
            ArgumentError: `x` is no real vector of that length.
        """
        try:
            vector = np.asarray(x)
        except ValueError as error:
            raise gc.ArgumentError(f"{what} is no array: {error}", fix="pass a vector such as x0, or pack({…}).") from None
        if vector.dtype.kind not in "biuf" or vector.shape not in (self.start.shape, (self.start.size, 1)):
            shown = " + ".join(f"{name}({', '.join(map(str, shape))})" for name, shape in zip(self.names, self.shapes, strict=True))
            raise gc.ArgumentError(f"{what} has shape {vector.shape} and dtype {vector.dtype}, but {shown} are {self.start.size} numbers.",
                                   fix="pass a vector such as x0, or pack({…}).")
        vector = np.ascontiguousarray(vector.reshape(-1), np.float64)
        found, begin = {}, 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            end = begin + math.prod(shape)
            found[name] = vector[begin:end].reshape(shape)
            begin = end
        return found

    def unpack(self, x: Any) -> dict[str, Array]:
        """The array of every unknown, of the type with which its tensor was declared: arguments for any other program."""
        return {name: part.astype(dtype, copy=False) for (name, part), dtype in zip(self.parts(x).items(), self.dtypes, strict=True)}

    def pack(self, arrays: Mapping[str, Any]) -> Vector:
        """The vector of arrays by name; the dictionary may hold more.

        Raises:
            ArgumentError: an unknown is missing, or its array has another shape or is none of real numbers.
        """
        found = {name: _converted(name, "float64", arrays[name]) for name in self.names if name in arrays}
        for name, shape in zip(self.names, self.shapes, strict=True):
            if name not in found or found[name].shape != shape:
                what = f"has shape {found[name].shape}" if name in found else "is missing"
                raise gc.ArgumentError(f"{name} {what}, but the vector has place for an array of shape {shape}.",
                                       fix=f'pass {{"{name}": …}} with an array of that shape.')
        return np.concatenate([np.zeros(0), *(np.ravel(found[name]) for name in self.names)])


# ------------------------------------------------------------------------------------------------------------ what is bound


def _bound(
    program: gc.Program, names: Sequence[str], dtypes: Sequence[str], given: Mapping[str, Any], seed: int
) -> tuple[Packing, dict[str, Array]]:
    """The unknowns in a vector, and the arrays of the other arguments."""
    inputs = {t.name: t for t in program.signature.inputs}
    symbols = {str(s) for t in inputs.values() for e in t.shape for s in e.free_symbols}
    sizes = {name: value for name, value in given.items() if name in symbols and name not in inputs}
    wrong = [name for name in given if name not in inputs and name not in sizes and name not in program.signature.unneeded]
    if wrong:
        raise gc.ArgumentError(f"The program has no argument {wrong[0]}; it takes {', '.join(inputs)}.", fix="check the name.")
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
            raise gc.ArgumentError(f"{name}={value!r} is no size.", fix="give a non-negative integer.")
    missing = [name for name in inputs if name not in given and name not in names]
    if missing:
        several = len(missing) > 1
        raise gc.ArgumentError(f"The argument{'s' * several} {', '.join(missing)} {'are' if several else 'is'} missing.",
                               fix=f"pass {', '.join(f'{n}=…' for n in missing)}; only {', '.join(names)} may be left out.")
    arrays = {name: _converted(name, tensor.dtype, given[name]) for name, tensor in inputs.items() if name in given}
    for name, array in arrays.items():
        sizes |= {str(e): n for e, n in zip(inputs[name].shape, np.shape(array), strict=False) if e.is_Symbol and str(e) not in sizes}
    arrays |= _initial(program, [inputs[name] for name in names if name not in arrays], sizes, seed)
    prepared, _ = program.bind(arrays)
    start = np.concatenate([np.ravel(prepared[name]).astype(np.float64) for name in names])
    packing = Packing(tuple(names), tuple(prepared[name].shape for name in names), tuple(dtypes), start)
    return packing, {name: np.array(array) for name, array in prepared.items() if name not in names}


def _converted(name: str, dtype: str, value: Any) -> Any:
    """Real numbers of any type for a float tensor; integers and bools are checked when they are bound."""
    if not dtype.startswith("float"):
        return value
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "biufO":  # texts would be read as numbers, complex numbers lose their second half
            raise TypeError(f"its elements are {given.dtype}")
        return given.astype(dtype, copy=False)
    except (TypeError, ValueError, RuntimeError) as error:
        raise gc.ArgumentError(f"The argument {name} of type {type(value).__name__} cannot become an array of {dtype}: {error}",
                               fix="pass a NumPy array of real numbers.") from None


def _initial(program: gc.Program, tensors: Sequence[Any], sizes: Mapping[str, int], seed: int) -> dict[str, Array]:
    """Parameters from their initialisers, zeros for all others."""
    for tensor in tensors:
        unknown = sorted(str(s) for e in tensor.shape for s in e.free_symbols if str(s) not in sizes)
        if unknown:
            raise gc.ArgumentError(f"The shape of {tensor.name} contains the size {unknown[0]}, which no array tells.",
                                   fix=f"pass {unknown[0]}=…, or {tensor.name}=… with the array to start from.")
    made = program.init(seed=seed, **sizes) if any(t.kind == "parameter" for t in tensors) else {}

    def zeros(tensor: Any) -> Array:
        return np.zeros([int(e.subs({s: sizes[str(s)] for s in e.free_symbols})) for e in tensor.shape], tensor.dtype)

    return {t.name: made[t.name] if t.name in made else zeros(t) for t in tensors}


# -------------------------------------------------------------------------------------------------------------- derivatives


class _Problem:
    """A program with unknowns in a vector.

    Attributes:
        x0: the vector to start from.
        unpack, pack: from a vector to arrays by name, and back.
    """

    def __init__(
        self, output: gc.Tensor, unknowns: Sequence[gc.Tensor], packing: Packing, fixed: Mapping[str, Array],
        compiled: Callable[[Any], gc.Program],
    ) -> None:
        self._output, self._unknowns, self._packing, self._fixed, self._compiled = output, list(unknowns), packing, dict(fixed), compiled
        self.unpack, self.pack = packing.unpack, packing.pack

    @property
    def x0(self) -> Vector:
        return self._packing.start.copy()

    def _run(self, program: gc.Program, x: Any, more: dict[str, Array] | None = None) -> Any:
        """Call a program with the unknowns from a vector, the fixed arguments and others."""
        values = self._fixed | self._packing.parts(x) | (more or {})
        return program({t.name: values[t.name].astype(t.dtype, copy=False) for t in program.signature.inputs})

    def _directions(self, p: Any) -> dict[str, Array]:
        return {f"{name}.direction": part for name, part in self._packing.parts(p, "The direction").items()}

    @cached_property
    def _moves(self) -> dict[gc.Tensor, gc.Tensor]:
        """Tensors for a direction of every unknown."""
        return {t: gc.Tensor(f"{t.name}.direction", t.shape, t.dtype) for t in self._unknowns}

    def _operator(self, shape: tuple[int, int], **products: Callable[[Any], Vector]) -> Any:
        try:
            from scipy.sparse.linalg import LinearOperator
        except ModuleNotFoundError:
            raise gc.TargetError("SciPy is not installed.", fix="pip install scipy") from None
        return LinearOperator(shape, dtype=np.float64, **products)


def _flat(arrays: Sequence[Array]) -> Vector:
    return np.concatenate([np.zeros(0), *map(np.ravel, arrays)])


class Objective(_Problem):
    """A scalar function of a vector, with derivatives: ``minimize(f.fun, f.x0, jac=f.jac, hessp=f.hessp)``.

    Programs are compiled when they are first needed. The value and the gradient are one program; what it gave last is remembered, so
    that ``fun`` and ``jac`` at one point cost one run.

    Attributes:
        x0: the vector to start from.
        unpack, pack: from a vector to arrays by name, and back.
    """

    _last: tuple[Vector, float, Vector] | None = None

    @cached_property
    def _value(self) -> gc.Program:
        return self._compiled(self._output)

    @cached_property
    def _both(self) -> gc.Program:
        return self._compiled([self._output, *gc.grad(self._output, self._unknowns)])

    @cached_property
    def _product(self) -> gc.Program:
        return self._compiled(list(gc.hvp(self._output, self._moves).values()))

    @cached_property
    def _second(self) -> gc.Program:
        return self._compiled(gc.hessian(self._output, self._unknowns))

    def fun(self, x: Any) -> float:
        """The value at `x`."""
        last = self._last
        return last[1] if last is not None and np.array_equal(last[0], x) else float(self._run(self._value, x))

    def fun_and_jac(self, x: Any) -> tuple[float, Vector]:
        """The value and the gradient at `x`, for ``minimize(f.fun_and_jac, f.x0, jac=True)``."""
        last = self._last
        if last is None or not np.array_equal(last[0], x):
            value, *gradients = self._run(self._both, x)
            self._last = last = np.array(x, np.float64), float(value), _flat(gradients)
        return last[1], last[2].copy()

    def jac(self, x: Any) -> Vector:
        """The gradient at `x`."""
        return self.fun_and_jac(x)[1]

    def hessp(self, x: Any, p: Any) -> Vector:
        """The Hessian at `x` times `p`, without the Hessian."""
        return _flat(self._run(self._product, x, self._directions(p)))

    def hess(self, x: Any) -> Vector:
        """The Hessian at `x` as a matrix."""
        rows: list[list[Array]] = self._run(self._second, x)
        extents = [math.prod(shape) for shape in self._packing.shapes]
        return np.block([[np.reshape(block, (n, m)).astype(np.float64) for m, block in zip(extents, row, strict=True)]
                         for n, row in zip(extents, rows, strict=True)])

    def hessian(self, x: Any) -> Any:
        """The Hessian at `x` as a `scipy.sparse.linalg.LinearOperator`.

        Raises:
            TargetError: SciPy is not installed.
        """
        at = np.array(x, np.float64)
        return self._operator((at.size, at.size), matvec=lambda p: self.hessp(at, p), rmatvec=lambda p: self.hessp(at, p))


class Residuals(_Problem):
    """A function from a vector to a vector, with derivatives: ``least_squares(f.fun, f.x0, jac=f.jac)``.

    The elements of the output follow each other in rows (C order). Programs are compiled when they are first needed.

    Attributes:
        x0: the vector to start from.
        unpack, pack: from a vector to arrays by name, and back.
    """

    @cached_property
    def _value(self) -> gc.Program:
        return self._compiled(self._output)

    @cached_property
    def _first(self) -> gc.Program:
        return self._compiled(gc.jacobian(self._output, self._unknowns))

    @cached_property
    def _forward(self) -> gc.Program:
        return self._compiled(gc.jvp(self._output, self._moves))

    @cached_property
    def _backward(self) -> gc.Program:
        seed = gc.Tensor(f"{self._output.name}.seed", self._output.shape, self._output.dtype)
        return self._compiled(gc.grad(self._output, self._unknowns, seed=seed))

    def fun(self, x: Any) -> Vector:
        """The elements of the output at `x`."""
        return _flat([self._run(self._value, x)])

    def jac(self, x: Any) -> Vector:
        """The Jacobian at `x` as a matrix, a row for each element of the output."""
        blocks, count = self._run(self._first, x), self._packing.start.size
        rows = math.prod(self._shape(x))
        return np.concatenate([np.zeros((rows, 0)), *(np.reshape(b, (rows, -1 if count else 0)) for b in blocks)], axis=1)

    def _shape(self, x: Any) -> tuple[int, ...]:
        return np.shape(self._run(self._value, x))

    def jacobian(self, x: Any) -> Any:
        """The Jacobian at `x` as a `scipy.sparse.linalg.LinearOperator`: forward mode for products, reverse mode for those from the left.

        Raises:
            TargetError: SciPy is not installed.
        """
        at, shape, name = np.array(x, np.float64), self._shape(x), f"{self._output.name}.seed"

        def times(p: Any) -> Vector:
            return _flat([self._run(self._forward, at, self._directions(p))])

        def transposed(r: Any) -> Vector:
            return _flat(self._run(self._backward, at, {name: np.reshape(r, shape)}))

        return self._operator((math.prod(shape), self._packing.start.size), matvec=times, rmatvec=transposed)
