"""How a team of threads runs one program: starting the members, a share of a loop, a barrier between two loops.

A program is called once per member, from as many threads, with its number ``me``, the ``team`` size, and the array
``sync`` that all of them share::

    @njit(**FLAGS)
    def program(me, team, sync, X, Y, N):
        first, last = share(me, team, N)
        double_rows(first, last, X, Y)
        wait(sync, team)
        ...

    @njit(**FLAGS)
    def start(sync, X, Y, N):
        launch(program, sync, (X, Y, N))

``start`` is called by one thread.  The others sit in `serve` and are handed the program by address, without Python and
without its global lock; `graphc.runtime.pool` owns them.

``sync`` is an array of int64, one cache line of 8 for each thing that some member spins on; `slots` tells its length.
"""

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.typing.templates import signature
from numba.np.arrayobj import make_array
from numba.np.numpy_support import carray

intrinsic: Any = extending.intrinsic
"""Untyped: its annotation counts the typing context among the arguments of a call."""

LINE = 8
ARRIVED, PASSED, FAILED = 0 * LINE, 1 * LINE, 2 * LINE
"""The barrier: members that have arrived, barriers passed, 1 + the first member that failed or 0."""

JOB = 3 * LINE
"""Programs launched so far."""

TEAM, FUNCTION, FRAME = 4 * LINE, 4 * LINE + 1, 4 * LINE + 2
"""The job: team size, address of the code, address of the arguments."""

BEGIN, MEMBER, END, NUMBER, SIZE = range(4 * LINE + 3, 4 * LINE + 8)
"""For threads of OpenMP's: addresses of what begins a job, of `take_part`, of what ends a job, and of what tells a thread its number and
how many there are."""

MEMBERS = 5 * LINE
DONE, CODE, EXCEPTION = 0, 1, 2
"""From ``MEMBERS + me * LINE``: the last job that member has finished, and Numba's status if it failed."""


def slots(team: int) -> int:
    """How many int64 the ``sync`` array of a team needs; they start as zeros, except ``sync[TEAM] = team``."""
    return MEMBERS + team * LINE


MOST = 4096
"""Members that a team of another library's threads may have."""

SPINS = 200
"""Looks at a flag before the processor is offered to others (2 to 10 µs): the peer may be waiting for this very processor."""

LOOKS_PER_OFFER = 64
"""An idle member offers its processor this often: on a machine with too few, it stands in a working member's way."""

FLAGS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}


def _slot(context: Any, builder: Any, sync_type: Any, sync: Any, index: Any) -> Any:
    return builder.gep(make_array(sync_type)(context, builder, sync).data, [index], inbounds=True)


@intrinsic
def _load(typing_context, sync, index):
    """``sync[index]``, seeing all that was written before it was stored."""

    def generate(context, builder, call, arguments):
        return builder.load_atomic(_slot(context, builder, sync, *arguments), "acquire", 8)

    return signature(types.int64, sync, types.intp), generate


@intrinsic
def _store(typing_context, sync, index, value):
    """``sync[index] = value``, after all that was written before."""

    def generate(context, builder, call, arguments):
        builder.store_atomic(arguments[2], _slot(context, builder, sync, *arguments[:2]), "release", 8)
        return context.get_dummy_value()

    return signature(types.none, sync, types.intp, types.int64), generate


@intrinsic
def _add(typing_context, sync, index, value):
    """``sync[index] += value``, in one piece; returns the old value."""

    def generate(context, builder, call, arguments):
        return builder.atomic_rmw("add", _slot(context, builder, sync, *arguments[:2]), arguments[2], "acq_rel")

    return signature(types.int64, sync, types.intp, types.int64), generate


_PAUSES = {"x86_64": ("llvm.x86.sse2.pause", []), "i686": ("llvm.x86.sse2.pause", []), "aarch64": ("llvm.aarch64.hint", [1])}
"""Per architecture, the LLVM intrinsic that tells the processor that this thread is spinning, and its arguments."""


@intrinsic
def _pause(typing_context):
    """Tell the processor that this thread is spinning; nothing on a processor without such an instruction."""

    def generate(context, builder, call, arguments):
        name, hints = _PAUSES.get(builder.module.triple.split("-")[0], (None, []))
        if name is not None:
            operands = [ir.Constant(ir.IntType(32), hint) for hint in hints]
            function_type = ir.FunctionType(ir.VoidType(), [operand.type for operand in operands])
            builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), operands)
        return context.get_dummy_value()

    return signature(types.none), generate


@intrinsic
def _offer_processor(typing_context):
    """Let another thread run on this processor, if one is ready: the C library's ``sched_yield``."""

    def generate(context, builder, call, arguments):
        function_type = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, "sched_yield"), [])
        return context.get_dummy_value()

    return signature(types.none), generate


@njit(**FLAGS)
def share(me, team, n):
    """The part ``first <= i < last`` of ``range(n)`` that belongs to member ``me``; parts differ by at most one.

    >>> [share(me, 3, 10) for me in range(3)]
    [(0, 4), (4, 7), (7, 10)]
    """
    size = n // team
    longer = n - size * team
    first = me * size + min(me, longer)
    return first, first + size + (1 if me < longer else 0)


@njit(**FLAGS)
def wait(sync, team):
    """Return once all members of the team have called it; what each wrote before, all see after.

    Raises ``RuntimeError`` when a member that has not arrived has failed (see `graphc.runtime.pool`).
    """
    if team == 1:
        return
    passed = _load(sync, PASSED)
    if _add(sync, ARRIVED, 1) == team - 1:
        # Nobody touches ARRIVED between here and the store to PASSED: all the others are waiting for that.
        _store(sync, ARRIVED, 0)
        _store(sync, PASSED, passed + 1)
        return
    spins = 0
    while _load(sync, PASSED) == passed:
        if _load(sync, FAILED) != 0:
            raise RuntimeError("another member of the team has failed")
        if spins < SPINS:
            spins += 1
            _pause()
        else:
            _offer_processor()


@intrinsic
def _enter(typing_context, function, frame, me, team):
    """Call a member's code by address; returns Numba's status code (0 for success) and the address of the exception."""
    integer = ir.IntType(64)

    def generate(context, builder, call, arguments):
        address, *rest = arguments
        exception = cgutils.alloca_once_value(builder, ir.Constant(integer, 0))
        code = builder.call(builder.inttoptr(address, _MEMBER.as_pointer()), [*rest, exception])
        return context.make_tuple(builder, call.return_type, [code, builder.load(exception)])

    return signature(types.UniTuple(types.int64, 2), *[types.int64] * 4), generate


_MEMBER = ir.FunctionType(ir.IntType(64), [ir.IntType(64)] * 3 + [ir.IntType(64).as_pointer()])
"""``code = member(frame, me, team, &exception)``"""


@njit(**FLAGS)
def _work(sync, function, frame, me, team):
    """Do the part of member ``me`` in one job and note how it ended."""
    code, exception = _enter(function, frame, me, team)
    if code != 0:
        mine = MEMBERS + me * LINE
        sync[mine + CODE] = code
        sync[mine + EXCEPTION] = exception
        # Members that fail in `wait` because of an earlier failure find FAILED set, and leave it alone.
        if _load(sync, FAILED) == 0:
            _store(sync, FAILED, 1 + me)


@njit(**FLAGS)
def serve(sync, me, looks):
    """Run jobs as member ``me`` until ``looks`` looks in a row have found none."""
    done = MEMBERS + me * LINE + DONE
    job = _load(sync, done)
    looked = 0
    while looked < looks:
        if _load(sync, JOB) == job:
            looked += 1
            if looked % LOOKS_PER_OFFER == 0:
                _offer_processor()
            else:
                _pause()
        else:
            looked = 0
            job += 1
            _work(sync, sync[FUNCTION], sync[FRAME], me, sync[TEAM])
            _store(sync, done, job)


@intrinsic
def _asked(typing_context, function):
    """What a C function without arguments says, an int, which is given by address."""

    def generate(context, builder, call, arguments):
        kind = ir.FunctionType(ir.IntType(32), [])
        return builder.sext(builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), []), ir.IntType(64))

    return signature(types.int64, types.int64), generate


@intrinsic
def _begin(typing_context, function, member, data, team):
    """Call OpenMP's ``GOMP_parallel_start(member, data, team)``, all given by address."""

    def generate(context, builder, call, arguments):
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, byte, word])
        address, own, memory, count = arguments
        given = [builder.inttoptr(own, byte), builder.inttoptr(memory, byte), builder.trunc(count, word)]
        builder.call(builder.inttoptr(address, kind.as_pointer()), given)
        return context.get_dummy_value()

    return signature(types.none, *[types.int64] * 4), generate


@intrinsic
def _end(typing_context, function):
    """Call OpenMP's ``GOMP_parallel_end()``, which is given by address."""

    def generate(context, builder, call, arguments):
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return signature(types.none, types.int64), generate


def take_part(data):
    """Do the part of this thread of OpenMP's in the job of the ``sync`` at an address."""
    sync = carray(data, (MEMBERS + MOST * LINE,))
    _work(sync, sync[FUNCTION], sync[FRAME], _asked(sync[NUMBER]), _asked(sync[SIZE]))


@njit(**FLAGS)
def _dispatch(sync, function, frame):
    """Run one job on all members, the caller being member 0; returns the first failure, or ``(0, 0)``."""
    team = sync[TEAM]
    if team == 1:
        return _enter(function, frame, 0, 1)
    sync[FUNCTION] = function
    sync[FRAME] = frame
    if sync[BEGIN] != 0:  # nothing of Python's comes between beginning and end, not even an interrupt
        _begin(sync[BEGIN], sync[MEMBER], sync.ctypes.data, team)
        _work(sync, function, frame, 0, _asked(sync[SIZE]))
        _end(sync[END])
        team = 1
    else:
        job = _load(sync, JOB) + 1
        _store(sync, JOB, job)
        _work(sync, function, frame, 0, team)
    for me in range(1, team):
        spins = 0
        while _load(sync, MEMBERS + me * LINE + DONE) != job:
            if spins < SPINS:
                spins += 1
                _pause()
            else:
                _offer_processor()
    failed = _load(sync, FAILED)
    if failed == 0:
        return 0, 0
    # All members are idle: ready the barrier, at which some of them never arrived, for the next job.
    sync[FAILED] = 0
    sync[ARRIVED] = 0
    theirs = MEMBERS + (failed - 1) * LINE
    return sync[theirs + CODE], sync[theirs + EXCEPTION]


@intrinsic
def launch(typing_context, program, sync, arguments):
    """Call ``program(me, team, sync, *arguments)`` on every member of the team; returns when all have returned.

    ``program`` is a compiled function that returns nothing.  An exception of any member is raised here.
    """
    program_call = program.get_call_type(typing_context, (types.int64, types.int64, sync, *arguments), {})
    if program_call.return_type != types.none:
        raise TypingError("a program returns nothing")
    dispatch = typing_context.resolve_value_type(_dispatch)
    dispatch_call = dispatch.get_call_type(typing_context, (sync, types.int64, types.int64), {})

    def generate(context, builder, call, operands):
        _, sync_value, tuple_value = operands
        values = [sync_value, *cgutils.unpack_tuple(builder, tuple_value)]
        given = (sync, *arguments)
        wanted = program_call.args[2:]
        frame = cgutils.pack_struct(builder, [context.cast(builder, *triple) for triple in zip(values, given, wanted, strict=True)])
        frame_address = cgutils.alloca_once_value(builder, frame)
        compiled = program.dispatcher.get_compile_result(program_call)
        context.add_linking_libs([compiled.library])
        member = _member(context, builder.module, compiled.fndesc, program_call, frame.type)
        integer = ir.IntType(64)
        result = context.get_function(dispatch, dispatch_call)(
            builder, [sync_value, builder.ptrtoint(member, integer), builder.ptrtoint(frame_address, integer)]
        )
        _raise_failure(context, builder, *cgutils.unpack_tuple(builder, result, 2))
        return context.get_dummy_value()

    return signature(types.none, program, sync, arguments), generate


def _member(context: Any, module: Any, program: Any, program_call: Any, frame_type: Any) -> Any:
    """The function behind the address that is handed to the members: unpacks the frame and calls the program."""
    member = ir.Function(module, _MEMBER, module.get_unique_name(f"member.{program.mangled_name}"))
    member.linkage = "internal"
    frame, me, team, exception = member.args
    builder = ir.IRBuilder(member.append_basic_block())
    values = cgutils.unpack_tuple(builder, builder.load(builder.inttoptr(frame, frame_type.as_pointer())))
    restore = _flush_subnormals(builder, module)
    status, _ = context.call_internal_no_propagate(builder, program, program_call, [me, team, *values])
    restore()
    builder.store(builder.ptrtoint(status.excinfoptr, exception.type.pointee), exception)
    code = builder.sext(status.code, _MEMBER.return_type)
    builder.ret(builder.select(status.is_error, code, ir.Constant(code.type, 0)))
    return member


_FLUSH = 0x8040
"""The bits FTZ and DAZ of x86's MXCSR register: subnormal results and operands count as 0."""


def _flush_subnormals(builder: Any, module: Any) -> Callable[[], None]:
    """Let this thread treat subnormal numbers as 0, which else cost a hundred cycles each; returns what restores its old mode.

    Saturated sigmoids produce them by the thousand, and products then run at a tenth of their speed. Elsewhere than on x86 nothing
    is changed.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return lambda: None
    integer = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
    read, write = (cgutils.get_or_insert_function(module, kind, f"llvm.x86.sse.{name}mxcsr") for name in ("st", "ld"))
    slots_ = [cgutils.alloca_once(builder, integer) for _ in range(2)]
    old, new = (builder.bitcast(slot, ir.IntType(8).as_pointer()) for slot in slots_)
    builder.call(read, [old])
    builder.store(builder.or_(builder.load(slots_[0]), ir.Constant(integer, _FLUSH)), slots_[1])
    builder.call(write, [new])

    def restore() -> None:
        builder.call(write, [old])

    return restore


def _raise_failure(context: Any, builder: Any, code: Any, exception: Any) -> None:
    """Leave the function with the status that a member returned, unless it is 0."""
    convention = context.call_conv
    with builder.if_then(builder.icmp_unsigned("!=", code, ir.Constant(code.type, 0)), likely=False):
        pointer = convention._get_excinfo_argument(builder.function).type.pointee
        status = convention._get_return_status(builder, builder.trunc(code, ir.IntType(32)), builder.inttoptr(exception, pointer))
        convention.return_status_propagate(builder, status)
