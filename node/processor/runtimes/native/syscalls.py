"""System calls that no script needs and that reach deep into the kernel: a filter that refuses them, in classic BPF.

The namespaces already take their effect away; this takes the kernel's code behind them out of reach as well.
"""

import errno
import platform
import struct

LOAD_WORD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER_AT, ARCHITECTURE_AT = 0, 4
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
X32 = 0x40000000
"""Bit of the second set of numbers that x86_64 has: it would go round a list of the first."""

# In this order: add_key, bpf, finit_module, init_module, io_uring_enter, io_uring_register, io_uring_setup, kexec_load,
# keyctl, mount, mount_setattr, move_mount, open_by_handle_at, open_tree, fsopen, perf_event_open, pivot_root,
# process_vm_readv, process_vm_writev, ptrace, request_key, setns, umount2, unshare, userfaultfd.
_X86 = (248, 321, 313, 175, 426, 427, 425, 246, 250, 165, 442, 429, 304, 428, 430, 298, 155, 310, 311, 101, 249, 308)
_GENERIC = (217, 280, 273, 105, 426, 427, 425, 104, 219, 40, 442, 429, 265, 428, 430, 241, 41, 270, 271, 117, 218, 268)
REFUSED = {
    "x86_64": (0xC000003E, (*_X86, 166, 272, 323)),
    "aarch64": (0xC00000B7, (*_GENERIC, 39, 97, 282)),
    "riscv64": (0xC00000F3, (*_GENERIC, 39, 97, 282)),
}
"""Machine -> what the kernel calls it, and its numbers of those calls."""


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def refusing_filter() -> bytes | None:
    """The filter for this machine; None on one whose numbers are not known here."""
    known = REFUSED.get(platform.machine())
    if known is None:
        return None
    architecture, numbers = known
    steps = [_step(LOAD_WORD, ARCHITECTURE_AT), _step(JUMP_EQUAL, architecture, 1, 0), _step(RETURN, KILL)]
    steps += [_step(LOAD_WORD, NUMBER_AT), _step(JUMP_AT_LEAST, X32, len(numbers) + 1, 0)]
    steps += [_step(JUMP_EQUAL, number, len(numbers) - place, 0) for place, number in enumerate(numbers)]
    return b"".join([*steps, _step(RETURN, ALLOW), _step(RETURN, FAIL)])
