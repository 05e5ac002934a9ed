"""The in-memory file system of one run: directories, files and one quota.

Every entry costs ENTRY_BYTES besides its content, so that empty files count too. Passing the quota ends the run with
OutOfResources(storage); writing without the storage capability ends it with CapabilityDenied(storage). Names resolve
without `..` above the root; there are no links and no owners.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.processor.runtimes.ended import RunEnded, over
from node.processor.runtimes.outcome import CapabilityDenied, Resource

ENTRY_BYTES = 256
NAME_BYTES_MAX = 255
DEPTH_MAX = 32


@dataclass(slots=True)
class File:
    """A file's content. A read-only one belongs to the runtime and costs no quota."""

    number: int
    data: bytearray = field(default_factory=bytearray)
    read_only: bool = False


@dataclass(slots=True)
class Directory:
    """Names to entries, in order of creation."""

    number: int
    entries: dict[str, Node] = field(default_factory=dict)
    read_only: bool = False


@dataclass(slots=True)
class Channel:
    """The device through which a Python script calls its host; see `calls.py`."""

    number: int


Node = File | Directory | Channel


class Storage:
    """The quota that files and the key-value store share."""

    def __init__(self, limit_bytes: int, granted: bool) -> None:
        self.limit_bytes = limit_bytes
        self.granted = granted
        self.used_bytes = 0

    def reserve(self, delta_bytes: int) -> None:
        """Take (or, negative, give back) bytes of the quota."""
        if not self.granted:
            raise RunEnded(CapabilityDenied("storage"), "a write without the storage capability")
        if self.used_bytes + delta_bytes > self.limit_bytes:
            raise over(Resource.STORAGE, f"storage of {self.limit_bytes} bytes is full")
        self.used_bytes += delta_bytes


class FileSystem:
    """The tree, and the operations that change it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.root = Directory(1)
        self._next_number = 2

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def add_runtime_file(self, folder: str, name: str, content: bytes) -> None:
        """A read-only file of the runtime's own, outside the quota."""
        self._runtime_folder(folder).entries[name] = File(self._number(), bytearray(content), read_only=True)

    def add_channel(self, folder: str, name: str) -> None:
        """The host-call device."""
        self._runtime_folder(folder).entries[name] = Channel(self._number())

    def add_folder(self, name: str) -> None:
        """An empty, writable directory under the root."""
        self.root.entries[name] = Directory(self._number())

    def _runtime_folder(self, name: str) -> Directory:
        folder = self.root.entries.setdefault(name, Directory(self._number(), read_only=True))
        assert isinstance(folder, Directory)
        return folder

    def find(self, base: Directory, path: str) -> tuple[Directory, str, Node | None]:
        """(parent, last name, entry or None) of `path` under `base`.

        Raises FileNotFoundError, NotADirectoryError, PermissionError (above the root) or OSError (name too long).
        """
        trail = [base]
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if len(parts) > DEPTH_MAX or any(len(part.encode()) > NAME_BYTES_MAX for part in parts):
            raise OSError("name too long")
        node: Node = base
        name = "."
        for position, part in enumerate(parts):
            if part == "..":
                if len(trail) == 1:
                    raise PermissionError("above the root")
                trail.pop()
                node, name = trail[-1], "."
                continue
            if not isinstance(node, Directory):
                raise NotADirectoryError(path)
            child = node.entries.get(part)
            name = part
            if position == len(parts) - 1:
                return node, name, child
            if child is None:
                raise FileNotFoundError(path)
            node = child
            if isinstance(child, Directory):
                trail.append(child)
        return trail[-1], name, node

    def _writable(self, folder: Directory) -> None:
        if folder.read_only:
            raise PermissionError("read-only")

    def create(self, parent: Directory, name: str, *, directory: bool) -> Node:
        """A new empty file or directory `name`."""
        self._writable(parent)
        self.storage.reserve(ENTRY_BYTES)
        node: Node = Directory(self._number()) if directory else File(self._number())
        parent.entries[name] = node
        return node

    def remove(self, parent: Directory, name: str) -> None:
        """Delete a file or an empty directory and give back its quota.

        The content goes at once, even where the file is still open: kept until its close, it would be free storage.
        """
        self._writable(parent)
        node = parent.entries[name]
        if isinstance(node, File):
            self.resize(node, 0)
        self.storage.reserve(-ENTRY_BYTES)
        del parent.entries[name]

    def rename(self, source: Directory, old: str, target: Directory, new: str) -> None:
        """Move an entry; a file in the way is replaced. A directory stays under its parent, so no cycle can form."""
        self._writable(source)
        self._writable(target)
        node = source.entries[old]
        if target.entries.get(new) is node:
            return
        if isinstance(node, Directory) and source is not target:
            raise PermissionError("a directory stays under its parent")
        if isinstance(target.entries.get(new), Directory):
            raise IsADirectoryError(new)
        if new in target.entries:
            self.remove(target, new)
        del source.entries[old]
        target.entries[new] = node

    def resize(self, file: File, size: int) -> None:
        """Cut or zero-fill to `size` bytes within the quota."""
        self._check_file(file)
        self.storage.reserve(size - len(file.data))
        if size < len(file.data):
            del file.data[size:]
        else:
            file.data.extend(bytes(size - len(file.data)))

    def write(self, file: File, offset: int, content: bytes) -> None:
        """Put `content` at `offset`, growing the file as needed."""
        self._check_file(file)
        end = offset + len(content)
        if end > len(file.data):
            self.resize(file, end)
        else:
            self.storage.reserve(0)
        file.data[offset:end] = content

    def _check_file(self, file: File) -> None:
        if file.read_only:
            raise PermissionError("read-only")
