"""WASI preview 1, answered by us: no real clock, randomness, file, sleep or socket is behind it.

wasmtime's own WASI has no disk quota, a real clock and random, and a sleep that neither fuel nor epoch can stop. This
one answers all 43 functions that CPython imports. The clock starts at the job's time and advances by CLOCK_STEP_NS on
each reading and by each sleep; random bytes come from the job's seed (both in `virtual.py`); files are `files.py`. What
a guest prints goes to its log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from node.processor.runtimes.ended import GuestExit
from node.processor.runtimes.files import Channel, Directory, File, FileSystem, Node
from node.processor.runtimes.memory import GuestMemory, OutOfBounds
from node.processor.runtimes.virtual import CLOCK_STEP_NS, SeededRandom, VirtualClock
from node.processor.runtimes.wasi_abi import Errno, FileType

VECTORS_MAX = 1_024
READ_BYTES_MAX = 4 << 20
DESCRIPTORS_MAX = 128
PATH_BYTES_MAX = 4_096
SUBSCRIPTIONS_MAX = 64
RANDOM_BYTES_MAX = 1 << 20
FIRST_FREE_DESCRIPTOR = 4
ALL_RIGHTS = (1 << 29) - 1


class WasiError(Exception):
    """A call that returns this error number to the guest."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno


class HostChannel(Protocol):
    """The device behind /job/channel: one write is one whole call, reads give its reply."""

    def write(self, frame: bytes) -> None: ...
    def read(self, length: int) -> bytes: ...


@dataclass(slots=True)
class Descriptor:
    """An open entry. The three standard ones have no node."""

    node: Node | None
    offset: int = 0
    append: bool = False


class Wasi:
    """The 43 functions over one run's state. Each returns an error number; arguments are already unsigned."""

    def __init__(
        self,
        files: FileSystem,
        clock: VirtualClock,
        random: SeededRandom,
        print_out: Callable[[bytes], None],
        channel: HostChannel,
        arguments: tuple[str, ...] = (),
        environment: tuple[str, ...] = (),
    ) -> None:
        self.memory: GuestMemory | None = None
        self._files = files
        self._clock = clock
        self._random = random
        self._print = print_out
        self._channel = channel
        self._arguments = [text.encode() + b"\0" for text in arguments]
        self._environment = [text.encode() + b"\0" for text in environment]
        self._open: dict[int, Descriptor] = {
            0: Descriptor(None),
            1: Descriptor(None),
            2: Descriptor(None),
            3: Descriptor(files.root),
        }

    def call(self, name: str, arguments: tuple[int, ...]) -> int:
        """Run one function and turn what can go wrong into its error number."""
        try:
            getattr(self, name)(*arguments)
        except WasiError as error:
            return error.errno
        except OutOfBounds:
            return Errno.FAULT
        except FileNotFoundError:
            return Errno.NOENT
        except NotADirectoryError:
            return Errno.NOTDIR
        except IsADirectoryError:
            return Errno.ISDIR
        except PermissionError:
            return Errno.PERM
        except OSError:
            return Errno.NAMETOOLONG
        return Errno.SUCCESS

    # -- helpers -------------------------------------------------------------------------------------------------

    @property
    def _guest(self) -> GuestMemory:
        if self.memory is None:
            raise WasiError(Errno.FAULT)
        return self.memory

    def _descriptor(self, fd: int) -> Descriptor:
        descriptor = self._open.get(fd)
        if descriptor is None:
            raise WasiError(Errno.BADF)
        return descriptor

    def _file(self, fd: int) -> tuple[Descriptor, File]:
        descriptor = self._descriptor(fd)
        if isinstance(descriptor.node, Directory):
            raise WasiError(Errno.ISDIR)
        if not isinstance(descriptor.node, File):
            raise WasiError(Errno.SPIPE)
        return descriptor, descriptor.node

    def _directory(self, fd: int) -> Directory:
        node = self._descriptor(fd).node
        if not isinstance(node, Directory):
            raise WasiError(Errno.NOTDIR)
        return node

    def _path(self, pointer: int, length: int) -> str:
        if length > PATH_BYTES_MAX:
            raise WasiError(Errno.NAMETOOLONG)
        try:
            return self._guest.read(pointer, length).decode()
        except UnicodeDecodeError as error:
            raise WasiError(Errno.INVAL) from error

    def _vectors(self, pointer: int, count: int) -> list[tuple[int, int]]:
        if count > VECTORS_MAX:
            raise WasiError(Errno.INVAL)
        raw = self._guest.read(pointer, 8 * count)
        return [
            (int.from_bytes(raw[at : at + 4], "little"), int.from_bytes(raw[at + 4 : at + 8], "little"))
            for at in range(0, len(raw), 8)
        ]

    def _gather(self, pointer: int, count: int) -> bytes:
        return b"".join(self._guest.read(base, length) for base, length in self._vectors(pointer, count))

    def _scatter(self, pointer: int, count: int, source: Callable[[int], bytes]) -> int:
        total = 0
        for base, length in self._vectors(pointer, count):
            content = source(min(length, READ_BYTES_MAX))
            self._guest.write(base, content)
            total += len(content)
            if len(content) < length:
                break
        return total

    def _strings(self, items: list[bytes], pointers: int, buffer: int) -> None:
        for index, item in enumerate(items):
            self._guest.write_u32(pointers + 4 * index, buffer)
            self._guest.write(buffer, item)
            buffer += len(item)

    def _sizes(self, items: list[bytes], count: int, size: int) -> None:
        self._guest.write_u32(count, len(items))
        self._guest.write_u32(size, sum(len(item) for item in items))

    # -- arguments, clock, random --------------------------------------------------------------------------------

    def args_get(self, pointers: int, buffer: int) -> None:
        self._strings(self._arguments, pointers, buffer)

    def args_sizes_get(self, count: int, size: int) -> None:
        self._sizes(self._arguments, count, size)

    def environ_get(self, pointers: int, buffer: int) -> None:
        self._strings(self._environment, pointers, buffer)

    def environ_sizes_get(self, count: int, size: int) -> None:
        self._sizes(self._environment, count, size)

    def clock_res_get(self, clock: int, result: int) -> None:
        self._guest.write_u64(result, CLOCK_STEP_NS)

    def clock_time_get(self, clock: int, precision: int, result: int) -> None:
        now_ns = self._clock.read_ns()
        # Clock 0 is the wall clock; the monotonic and CPU clocks count from the start of the run.
        self._guest.write_u64(result, now_ns if clock == 0 else now_ns - self._clock.start_ns)

    def random_get(self, pointer: int, length: int) -> None:
        if length > RANDOM_BYTES_MAX:
            raise WasiError(Errno.INVAL)
        self._guest.write(pointer, self._random.take(length))

    def sched_yield(self) -> None:
        """Nothing else runs."""

    def proc_exit(self, code: int) -> None:
        raise GuestExit(code)

    def poll_oneoff(self, subscriptions: int, events: int, count: int, result: int) -> None:
        """Clock subscriptions pass virtual time; every other one is ready at once."""
        if not 1 <= count <= SUBSCRIPTIONS_MAX:
            raise WasiError(Errno.INVAL)
        clocks: list[tuple[int, bytes]] = []
        ready: list[tuple[bytes, int]] = []
        for index in range(count):
            raw = self._guest.read(subscriptions + 48 * index, 48)
            if raw[8] == 0:
                timeout_ns = int.from_bytes(raw[24:32], "little")
                if raw[40] & 1:  # absolute
                    base_ns = 0 if int.from_bytes(raw[16:20], "little") == 0 else self._clock.start_ns
                    timeout_ns = max(base_ns + timeout_ns - self._clock.now_ns, 0)
                clocks.append((timeout_ns, raw[:8]))
            else:
                ready.append((raw[:8], raw[8]))
        if not ready:
            shortest_ns = min(timeout_ns for timeout_ns, _ in clocks)
            self._clock.sleep_ns(shortest_ns)
            ready = [(user, 0) for timeout_ns, user in clocks if timeout_ns == shortest_ns]
        for index, (user, kind) in enumerate(ready):
            self._guest.write(events + 32 * index, user + bytes(2) + bytes([kind]) + bytes(21))
        self._guest.write_u32(result, len(ready))

    # -- descriptors ---------------------------------------------------------------------------------------------

    def fd_advise(self, fd: int, offset: int, length: int, advice: int) -> None:
        self._file(fd)

    def fd_allocate(self, fd: int, offset: int, length: int) -> None:
        _, file = self._file(fd)
        if offset + length > len(file.data):
            self._files.resize(file, offset + length)

    def fd_close(self, fd: int) -> None:
        self._descriptor(fd)
        del self._open[fd]

    def fd_datasync(self, fd: int) -> None:
        self._descriptor(fd)

    def fd_sync(self, fd: int) -> None:
        self._descriptor(fd)

    def fd_fdstat_get(self, fd: int, result: int) -> None:
        descriptor = self._descriptor(fd)
        flags = 1 if descriptor.append else 0
        raw = bytes([_file_type(descriptor.node), 0]) + flags.to_bytes(2, "little") + bytes(4)
        # Streams too have the rights to seek and tell: without these libc takes them for terminals.
        self._guest.write(result, raw + 2 * ALL_RIGHTS.to_bytes(8, "little"))

    def fd_fdstat_set_flags(self, fd: int, flags: int) -> None:
        self._descriptor(fd).append = bool(flags & 1)

    def fd_filestat_get(self, fd: int, result: int) -> None:
        self._guest.write(result, self._file_status(self._descriptor(fd).node))

    def fd_filestat_set_size(self, fd: int, size: int) -> None:
        _, file = self._file(fd)
        self._files.resize(file, size)

    def fd_filestat_set_times(self, fd: int, accessed: int, modified: int, flags: int) -> None:
        self._descriptor(fd)

    def fd_prestat_get(self, fd: int, result: int) -> None:
        if fd != FIRST_FREE_DESCRIPTOR - 1 or fd not in self._open:
            raise WasiError(Errno.BADF)
        self._guest.write(result, bytes(4) + (1).to_bytes(4, "little"))

    def fd_prestat_dir_name(self, fd: int, pointer: int, length: int) -> None:
        if fd != FIRST_FREE_DESCRIPTOR - 1 or fd not in self._open:
            raise WasiError(Errno.BADF)
        if length < 1:
            raise WasiError(Errno.NAMETOOLONG)
        self._guest.write(pointer, b"/")

    def fd_read(self, fd: int, vectors: int, count: int, result: int) -> None:
        descriptor = self._descriptor(fd)
        if descriptor.node is None:
            self._guest.write_u32(result, 0)  # standard input is at its end
            return
        if isinstance(descriptor.node, Channel):
            self._guest.write_u32(result, self._scatter(vectors, count, self._channel.read))
            return
        descriptor, file = self._file(fd)

        def take(length: int) -> bytes:
            content = bytes(file.data[descriptor.offset : descriptor.offset + length])
            descriptor.offset += len(content)
            return content

        self._guest.write_u32(result, self._scatter(vectors, count, take))

    def fd_pread(self, fd: int, vectors: int, count: int, offset: int, result: int) -> None:
        _, file = self._file(fd)
        position = offset

        def take(length: int) -> bytes:
            nonlocal position
            content = bytes(file.data[position : position + length])
            position += len(content)
            return content

        self._guest.write_u32(result, self._scatter(vectors, count, take))

    def fd_write(self, fd: int, vectors: int, count: int, result: int) -> None:
        descriptor = self._descriptor(fd)
        content = self._gather(vectors, count)
        if descriptor.node is None:
            self._print(content)
        elif isinstance(descriptor.node, Channel):
            self._channel.write(content)
        else:
            descriptor, file = self._file(fd)
            if descriptor.append:
                descriptor.offset = len(file.data)
            self._files.write(file, descriptor.offset, content)
            descriptor.offset += len(content)
        self._guest.write_u32(result, len(content))

    def fd_pwrite(self, fd: int, vectors: int, count: int, offset: int, result: int) -> None:
        _, file = self._file(fd)
        content = self._gather(vectors, count)
        self._files.write(file, offset, content)
        self._guest.write_u32(result, len(content))

    def fd_seek(self, fd: int, delta: int, whence: int, result: int) -> None:
        descriptor, file = self._file(fd)
        if delta >= 1 << 63:
            delta -= 1 << 64
        bases = {0: 0, 1: descriptor.offset, 2: len(file.data)}
        if whence not in bases or not 0 <= bases[whence] + delta < 1 << 63:
            raise WasiError(Errno.INVAL)
        descriptor.offset = bases[whence] + delta
        self._guest.write_u64(result, descriptor.offset)

    def fd_tell(self, fd: int, result: int) -> None:
        descriptor, _ = self._file(fd)
        self._guest.write_u64(result, descriptor.offset)

    def fd_readdir(self, fd: int, buffer: int, size: int, cookie: int, result: int) -> None:
        folder = self._directory(fd)
        entries: list[tuple[str, Node]] = [(".", folder), ("..", folder), *folder.entries.items()]
        out = b""
        for index in range(min(cookie, len(entries)), len(entries)):
            name, node = entries[index]
            raw = name.encode()
            out += (index + 1).to_bytes(8, "little") + node.number.to_bytes(8, "little")
            out += len(raw).to_bytes(4, "little") + bytes([_file_type(node), 0, 0, 0]) + raw
            if len(out) >= size:
                break
        self._guest.write(buffer, out[:size])
        self._guest.write_u32(result, min(len(out), size))

    # -- paths ---------------------------------------------------------------------------------------------------

    def path_create_directory(self, fd: int, pointer: int, length: int) -> None:
        parent, name, node = self._files.find(self._directory(fd), self._path(pointer, length))
        if node is not None:
            raise WasiError(Errno.EXIST)
        self._files.create(parent, name, directory=True)

    def path_filestat_get(self, fd: int, flags: int, pointer: int, length: int, result: int) -> None:
        _, _, node = self._files.find(self._directory(fd), self._path(pointer, length))
        if node is None:
            raise WasiError(Errno.NOENT)
        self._guest.write(result, self._file_status(node))

    def path_filestat_set_times(self, fd: int, flags: int, pointer: int, length: int, *times: int) -> None:
        _, _, node = self._files.find(self._directory(fd), self._path(pointer, length))
        if node is None:
            raise WasiError(Errno.NOENT)

    def path_open(
        self,
        fd: int,
        lookup_flags: int,
        pointer: int,
        length: int,
        open_flags: int,
        rights: int,
        inheriting: int,
        fd_flags: int,
        result: int,
    ) -> None:
        parent, name, node = self._files.find(self._directory(fd), self._path(pointer, length))
        create, directory, exclusive, truncate = (bool(open_flags & 1 << bit) for bit in range(4))
        if node is None:
            if not create:
                raise WasiError(Errno.NOENT)
            node = self._files.create(parent, name, directory=False)
        elif create and exclusive:
            raise WasiError(Errno.EXIST)
        if directory and not isinstance(node, Directory):
            raise WasiError(Errno.NOTDIR)
        if truncate and isinstance(node, File):
            self._files.resize(node, 0)
        if len(self._open) >= DESCRIPTORS_MAX:
            raise WasiError(Errno.MFILE)
        number = next(n for n in range(FIRST_FREE_DESCRIPTOR, DESCRIPTORS_MAX + 8) if n not in self._open)
        self._open[number] = Descriptor(node, append=bool(fd_flags & 1))
        self._guest.write_u32(result, number)

    def path_remove_directory(self, fd: int, pointer: int, length: int) -> None:
        parent, name, node = self._files.find(self._directory(fd), self._path(pointer, length))
        if node is None or name == ".":
            raise WasiError(Errno.NOENT)
        if not isinstance(node, Directory):
            raise WasiError(Errno.NOTDIR)
        if node.entries:
            raise WasiError(Errno.NOTEMPTY)
        self._files.remove(parent, name)

    def path_unlink_file(self, fd: int, pointer: int, length: int) -> None:
        parent, name, node = self._files.find(self._directory(fd), self._path(pointer, length))
        if node is None:
            raise WasiError(Errno.NOENT)
        if isinstance(node, Directory):
            raise WasiError(Errno.ISDIR)
        self._files.remove(parent, name)

    def path_rename(self, fd: int, old: int, old_length: int, new_fd: int, new: int, new_length: int) -> None:
        source, old_name, node = self._files.find(self._directory(fd), self._path(old, old_length))
        if node is None or old_name == ".":
            raise WasiError(Errno.NOENT)
        target, new_name, _ = self._files.find(self._directory(new_fd), self._path(new, new_length))
        if new_name == ".":
            raise WasiError(Errno.EXIST)
        self._files.rename(source, old_name, target, new_name)

    def path_link(self, *arguments: int) -> None:
        raise WasiError(Errno.NOTSUP)

    def path_symlink(self, *arguments: int) -> None:
        raise WasiError(Errno.NOTSUP)

    def path_readlink(self, fd: int, pointer: int, length: int, *rest: int) -> None:
        _, _, node = self._files.find(self._directory(fd), self._path(pointer, length))
        raise WasiError(Errno.NOENT if node is None else Errno.INVAL)  # an entry that is no link

    # -- sockets: none -------------------------------------------------------------------------------------------

    def sock_accept(self, *arguments: int) -> None:
        raise WasiError(Errno.NOTSUP)

    def sock_recv(self, *arguments: int) -> None:
        raise WasiError(Errno.NOTSUP)

    def sock_send(self, *arguments: int) -> None:
        raise WasiError(Errno.NOTSUP)

    def sock_shutdown(self, *arguments: int) -> None:
        raise WasiError(Errno.NOTSUP)

    def _file_status(self, node: Node | None) -> bytes:
        """`filestat`: device, inode, type, links, size, and three times that are always the job's start."""
        size = len(node.data) if isinstance(node, File) else 0
        number = node.number if node is not None else 0
        raw = bytes(8) + number.to_bytes(8, "little") + bytes([_file_type(node)]) + bytes(7)
        times = 3 * self._clock.start_ns.to_bytes(8, "little")
        return raw + (1).to_bytes(8, "little") + size.to_bytes(8, "little") + times


def _file_type(node: Node | None) -> FileType:
    if isinstance(node, File):
        return FileType.REGULAR_FILE
    if isinstance(node, Directory):
        return FileType.DIRECTORY
    return FileType.CHARACTER_DEVICE
