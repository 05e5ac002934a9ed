"""The WASI shim: every function that CPython imports, its errors, its quota, and bad pointers."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import FuncType, Limits, Memory, MemoryType, Module, Store

from node.processor.runtimes.artifacts import compiled_path, default_cache_dir
from node.processor.runtimes.ended import GuestExit, RunEnded
from node.processor.runtimes.engine import make_engine
from node.processor.runtimes.files import ENTRY_BYTES, FileSystem, Storage
from node.processor.runtimes.memory import GuestMemory
from node.processor.runtimes.outcome import CapabilityDenied, OutOfResources, Resource
from node.processor.runtimes.virtual import CLOCK_STEP_NS, SeededRandom, VirtualClock
from node.processor.runtimes.wasi import DESCRIPTORS_MAX, Wasi
from node.processor.runtimes.wasi_abi import SIGNATURES, Errno

QUOTA = 4_096
ROOT = 3
PATH, VECTOR, BUFFER, RESULT = 0, 1_024, 2_048, 60_000


class Echo:
    """A host channel that gives back what was written."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, frame: bytes) -> None:
        self.content = frame

    def read(self, length: int) -> bytes:
        part, self.content = self.content[:length], self.content[length:]
        return part


class Guest:
    """A shim over one page of real wasm memory, called as a guest would."""

    def __init__(self, *, granted: bool = True) -> None:
        self.storage = Storage(QUOTA, granted)
        self.files = FileSystem(self.storage)
        self.files.add_folder("tmp")
        self.files.add_runtime_file("job", "boot.py", b"boot")
        self.files.add_channel("job", "channel")
        self.printed: list[bytes] = []
        self.clock = VirtualClock(1_000)
        random = SeededRandom(b"seed")
        self.wasi = Wasi(self.files, self.clock, random, self.printed.append, Echo(), ("a", "bc"), ("N=1",))
        store = Store()
        self.memory = GuestMemory(store, Memory(store, MemoryType(Limits(1, 1))))
        self.wasi.memory = self.memory

    def call(self, name: str, *arguments: int) -> int:
        """The error number of one function."""
        return self.wasi.call(name, arguments)

    def path(self, text: str) -> tuple[int, int]:
        """Put a path into memory; pointer and length."""
        raw = text.encode()
        self.memory.write(PATH, raw)
        return PATH, len(raw)

    def open(self, text: str, flags: int = 0) -> int:
        """Open a path; the descriptor, or minus the error number. Flags: 1 create, 2 directory, 4 exclusive, 8 cut."""
        errno = self.call("path_open", ROOT, 0, *self.path(text), flags, 0, 0, 0, RESULT)
        return self.memory.read_u32(RESULT) if errno == 0 else -errno

    def write(self, fd: int, content: bytes) -> int:
        """fd_write of one vector."""
        self.memory.write(BUFFER, content)
        self.memory.write_u32(VECTOR, BUFFER)
        self.memory.write_u32(VECTOR + 4, len(content))
        return self.call("fd_write", fd, VECTOR, 1, RESULT)

    def read(self, fd: int, length: int) -> bytes:
        """fd_read of one vector."""
        self.memory.write_u32(VECTOR, BUFFER)
        self.memory.write_u32(VECTOR + 4, length)
        assert self.call("fd_read", fd, VECTOR, 1, RESULT) == 0
        return self.memory.read(BUFFER, self.memory.read_u32(RESULT))

    def seek(self, fd: int, offset: int, whence: int = 0) -> int:
        """fd_seek; the new offset, or minus the error number."""
        errno = self.call("fd_seek", fd, offset & ((1 << 64) - 1), whence, RESULT)
        return int.from_bytes(self.memory.read(RESULT, 8), "little") if errno == 0 else -errno

    def path_call(self, name: str, text: str) -> int:
        """A path function of the root with no other argument."""
        return self.call(name, ROOT, *self.path(text))


def test_every_function_that_cpython_imports_is_answered() -> None:
    """The 43 imports of the CPython module are exactly functions of the shim, with the same parameters."""
    module = Module.deserialize_file(make_engine(), str(compiled_path("python", default_cache_dir())))
    needed = {}
    for item in module.imports:
        assert isinstance(item.type, FuncType)
        needed[item.name] = "".join({"i32": "i", "i64": "I"}[str(kind)] for kind in item.type.params)
    assert needed == SIGNATURES
    assert len(needed) == 43
    assert all(callable(getattr(Wasi, name)) for name in SIGNATURES)


def test_arguments_and_environment() -> None:
    """Arguments and environment arrive as NUL-terminated strings with their pointers."""
    guest = Guest()
    assert guest.call("args_sizes_get", RESULT, RESULT + 4) == 0
    assert (guest.memory.read_u32(RESULT), guest.memory.read_u32(RESULT + 4)) == (2, 5)
    assert guest.call("args_get", VECTOR, BUFFER) == 0
    assert guest.memory.read(BUFFER, 5) == b"a\0bc\0"
    assert guest.memory.read_u32(VECTOR + 4) == BUFFER + 2
    assert guest.call("environ_get", VECTOR, BUFFER) == 0
    assert guest.memory.read(BUFFER, 4) == b"N=1\0"


def test_files_are_written_and_read() -> None:
    """A file keeps what was written, at any offset, through any descriptor; cutting and appending work."""
    guest = Guest()
    fd = guest.open("tmp/a", 1)
    assert guest.write(fd, b"hello") == 0
    assert guest.seek(fd, -2, 1) == 3
    assert guest.write(fd, b"XY") == 0
    other = guest.open("./tmp/./a")
    assert guest.read(other, 100) == b"helXY"
    assert guest.seek(other, 10) == 10
    assert guest.write(other, b"!") == 0
    assert guest.seek(fd, 0) == 0
    assert guest.read(fd, 100) == b"helXY\0\0\0\0\0!"
    assert guest.call("fd_filestat_set_size", fd, 2) == 0
    assert guest.seek(fd, 0, 2) == 2
    assert guest.seek(fd, -3, 2) == -Errno.INVAL
    assert guest.seek(fd, (1 << 63) - 1) == (1 << 63) - 1
    assert guest.seek(fd, (1 << 63) - 1, 1) == -Errno.INVAL
    assert guest.call("fd_close", fd) == 0
    assert guest.call("fd_close", fd) == Errno.BADF


def test_errors_of_paths() -> None:
    """What is missing, in the way, no directory, read-only or above the root has its error number."""
    guest = Guest()
    assert guest.open("none") == -Errno.NOENT
    assert guest.open("none/deeper", 1) == -Errno.NOENT
    assert guest.open("../etc/passwd") == -Errno.PERM
    assert guest.open("tmp/../../x", 1) == -Errno.PERM
    assert guest.open("job/new", 1) == -Errno.PERM
    assert guest.write(guest.open("job/boot.py"), b"x") == Errno.PERM
    assert guest.open("job/boot.py/x") == -Errno.NOTDIR
    assert guest.open("job/boot.py", 2) == -Errno.NOTDIR
    assert guest.open("job/boot.py", 1 | 4) == -Errno.EXIST
    assert guest.open("x" * 256, 1) == -Errno.NAMETOOLONG
    assert guest.open("/".join(["d"] * 40)) == -Errno.NAMETOOLONG
    assert guest.path_call("path_create_directory", "tmp") == Errno.EXIST
    assert guest.path_call("path_unlink_file", "tmp") == Errno.ISDIR
    assert guest.path_call("path_remove_directory", "job") == Errno.NOTEMPTY
    assert guest.path_call("path_remove_directory", "job/boot.py") == Errno.NOTDIR
    assert guest.path_call("path_remove_directory", "tmp/..") == Errno.NOENT
    assert guest.call("path_symlink", 0, 0, ROOT, 0, 0) == Errno.NOTSUP
    assert guest.call("sock_recv", 3, 0, 0, 0, 0, 0) == Errno.NOTSUP


def test_directories() -> None:
    """Directories list their entries page by page, and are renamed under their parent alone."""
    guest = Guest()
    for name in ("tmp/one", "tmp/two"):
        assert guest.path_call("path_create_directory", name) == 0
    folder = guest.open("tmp", 2)
    names, cookie = [], 0
    while True:
        assert guest.call("fd_readdir", folder, BUFFER, 40, cookie, RESULT) == 0
        if guest.memory.read_u32(RESULT) < 24:
            break
        entry = guest.memory.read(BUFFER, 40)
        cookie = int.from_bytes(entry[:8], "little")
        names.append(entry[24 : 24 + int.from_bytes(entry[16:20], "little")].decode())
    assert names == [".", "..", "one", "two"]

    def rename(old: str, new: str) -> int:
        guest.memory.write(PATH + 512, new.encode())
        return guest.call("path_rename", ROOT, *guest.path(old), ROOT, PATH + 512, len(new))

    assert rename("tmp/one", "tmp/two/one") == Errno.PERM
    assert rename("tmp/one", "tmp/two") == Errno.ISDIR
    assert rename("tmp/one", "tmp/three") == 0
    assert guest.open("tmp/three", 2) > 0
    assert guest.open("tmp/one") == -Errno.NOENT


def test_storage_is_counted_and_given_back() -> None:
    """Content and entries use the quota, removing gives it back at once, and passing it ends the run."""
    guest = Guest()
    fd = guest.open("tmp/a", 1)
    guest.write(fd, b"x" * 1000)
    assert guest.storage.used_bytes == ENTRY_BYTES + 1000
    assert guest.path_call("path_unlink_file", "tmp/a") == 0
    assert guest.storage.used_bytes == 0
    assert guest.seek(fd, 0) == 0
    assert guest.read(fd, 10) == b""  # an open, removed file holds nothing for free
    with pytest.raises(RunEnded) as ended:
        guest.call("fd_filestat_set_size", guest.open("tmp/b", 1), 1 << 60)
    assert ended.value.failure == OutOfResources(Resource.STORAGE)
    room = (QUOTA - guest.storage.used_bytes) // ENTRY_BYTES
    assert [guest.path_call("path_create_directory", f"tmp/{number}") for number in range(room)] == [0] * room
    with pytest.raises(RunEnded):
        guest.path_call("path_create_directory", "tmp/one more")
    assert guest.storage.used_bytes <= QUOTA


def test_writing_needs_the_grant() -> None:
    """Without the storage capability the first write ends the run; reading the runtime's own files does not."""
    guest = Guest(granted=False)
    assert guest.read(guest.open("job/boot.py"), 10) == b"boot"
    with pytest.raises(RunEnded) as ended:
        guest.open("tmp/a", 1)
    assert ended.value.failure == CapabilityDenied("storage")


def test_open_descriptors_are_bounded() -> None:
    """Past DESCRIPTORS_MAX an open fails with MFILE; a closed number is used again."""
    guest = Guest()
    numbers = []
    while (fd := guest.open("job/boot.py")) > 0:
        numbers.append(fd)
    assert fd == -Errno.MFILE
    assert len(numbers) == DESCRIPTORS_MAX - 4
    guest.call("fd_close", numbers[5])
    assert guest.open("job/boot.py") == numbers[5]


def test_time_sleep_and_exit() -> None:
    """The clock steps at each look, a sleep passes at once, and proc_exit carries its code out."""
    guest = Guest()
    guest.call("clock_time_get", 0, 1, RESULT)
    first = int.from_bytes(guest.memory.read(RESULT, 8), "little")
    assert first == 1_000_000_000 + CLOCK_STEP_NS
    subscription = (7).to_bytes(8, "little") + bytes(16) + (3_600 * 10**9).to_bytes(8, "little") + bytes(16)
    guest.memory.write(BUFFER, subscription)
    assert guest.call("poll_oneoff", BUFFER, VECTOR, 1, RESULT) == 0
    assert guest.memory.read_u32(RESULT) == 1
    assert guest.memory.read(VECTOR, 8) == subscription[:8]
    assert guest.clock.now_ns == first + 3_600 * 10**9
    assert guest.call("poll_oneoff", BUFFER, VECTOR, 0, RESULT) == Errno.INVAL
    with pytest.raises(GuestExit) as ended:
        guest.call("proc_exit", 3)
    assert ended.value.code == 3


def test_streams_and_the_channel() -> None:
    """Standard output is the log, standard input is empty, streams do not seek, the channel answers."""
    guest = Guest()
    assert guest.write(1, b"out") == 0
    assert guest.write(2, b"err") == 0
    assert guest.printed == [b"out", b"err"]
    assert guest.read(0, 10) == b""
    assert guest.seek(1, 0) == -Errno.SPIPE
    channel = guest.open("job/channel")
    guest.write(channel, b"ping")
    assert guest.read(channel, 2) == b"pi"
    assert guest.read(channel, 9) == b"ng"


def test_the_same_seed_gives_the_same_stream() -> None:
    """Random bytes depend on the seed and on how many were taken, not on how they were asked for."""
    whole = SeededRandom(b"one").take(200)
    parts = SeededRandom(b"one")
    assert parts.take(1) + parts.take(0) + parts.take(99) + parts.take(100) == whole
    assert SeededRandom(b"two").take(200) != whole


NUMBERS = st.one_of(st.integers(0, 64), st.sampled_from([65_535, 65_536, (1 << 31) - 1, (1 << 32) - 1]))
LONGS = st.one_of(NUMBERS, st.sampled_from([(1 << 63) - 1, 1 << 63, (1 << 64) - 1]))


@given(st.data())
def test_no_arguments_break_the_shim(data: st.DataObject) -> None:
    """Whatever numbers a guest gives a function, it gets an error number or one of the two typed ends."""
    guest = Guest()
    guest.open("tmp/a", 1)
    for _ in range(6):
        name = data.draw(st.sampled_from(sorted(SIGNATURES)))
        arguments = [data.draw(NUMBERS if kind == "i" else LONGS) for kind in SIGNATURES[name]]
        with suppress(RunEnded, GuestExit):
            assert 0 <= guest.call(name, *arguments) <= 76
