"""Files that hold secrets: only the owner may read them, and a crash leaves the old one or the new one, never half."""

import os
import stat
from pathlib import Path

PRIVATE_FILE_MODE = 0o600
PRIVATE_DIRECTORY_MODE = 0o700
FILE_BYTES_MAX = 16 * 1024


class SecretFileError(Exception):
    """A file with a secret is not as it must be; the message names the file."""


class InsecureFile(SecretFileError):
    """Others than the owner may read or write it."""


class OversizedFile(SecretFileError):
    """It is larger than any file of its kind."""


class FileExists(SecretFileError):
    """It is there already and would be overwritten."""


def make_directory(path: Path) -> None:
    """The directory for secret files, created if needed with mode 0700."""
    path.mkdir(mode=PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)


def write_private(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write `data` durably with mode 0600: a temporary file, fsync, link or rename, fsync of the directory.

    FileExists if `replace` is False and there is such a file; that file is then unchanged.
    """
    make_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            _link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


def read_private(path: Path, bytes_max: int = FILE_BYTES_MAX) -> bytes:
    """The content of a secret file. FileNotFoundError, InsecureFile or OversizedFile."""
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise InsecureFile(f"{path}: mode {mode:04o} lets others at it, must be {PRIVATE_FILE_MODE:04o}")
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise OversizedFile(f"{path}: more than {bytes_max} bytes")
    return data


def _link(temporary: Path, path: Path) -> None:
    """Put the file in place only if there is none: a link is atomic, a check before a rename is not."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise FileExists(f"{path}: exists already") from None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
