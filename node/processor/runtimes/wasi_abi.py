"""WASI preview 1 as numbers: its functions' parameters, the error numbers and file types that `wasi.py` uses."""

from __future__ import annotations

from enum import IntEnum

MODULE = "wasi_snapshot_preview1"


class Errno(IntEnum):
    """The error numbers of preview 1 that are used here."""

    SUCCESS = 0
    ACCES = 2
    BADF = 8
    EXIST = 20
    FAULT = 21
    INVAL = 28
    ISDIR = 31
    MFILE = 33
    NAMETOOLONG = 37
    NOENT = 44
    NOTDIR = 54
    NOTEMPTY = 55
    NOTSUP = 58
    PERM = 63
    SPIPE = 70
    NOTCAPABLE = 76


class FileType(IntEnum):
    """`filetype` of preview 1."""

    CHARACTER_DEVICE = 2
    DIRECTORY = 3
    REGULAR_FILE = 4


# Parameter kinds of each function: i is i32, I is i64. Every one returns an i32, except proc_exit.
SIGNATURES = {
    "args_get": "ii",
    "args_sizes_get": "ii",
    "environ_get": "ii",
    "environ_sizes_get": "ii",
    "clock_res_get": "ii",
    "clock_time_get": "iIi",
    "fd_advise": "iIIi",
    "fd_allocate": "iII",
    "fd_close": "i",
    "fd_datasync": "i",
    "fd_fdstat_get": "ii",
    "fd_fdstat_set_flags": "ii",
    "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_pread": "iiiIi",
    "fd_prestat_get": "ii",
    "fd_prestat_dir_name": "iii",
    "fd_pwrite": "iiiIi",
    "fd_read": "iiii",
    "fd_readdir": "iiiIi",
    "fd_seek": "iIii",
    "fd_sync": "i",
    "fd_tell": "ii",
    "fd_write": "iiii",
    "path_create_directory": "iii",
    "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii",
    "path_remove_directory": "iii",
    "path_rename": "iiiiii",
    "path_symlink": "iiiii",
    "path_unlink_file": "iii",
    "poll_oneoff": "iiii",
    "proc_exit": "i",
    "random_get": "ii",
    "sched_yield": "",
    "sock_accept": "iii",
    "sock_recv": "iiiiii",
    "sock_send": "iiiii",
    "sock_shutdown": "ii",
}
