"""Modules that use files: by the path that libraries of programming languages would resolve."""

from __future__ import annotations

from tests.engines.wasm.bench import wasi

_IMPORTS = """(import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $name (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link"
    (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))"""
CREATE, TRUNCATE = 1, 8
READ, WRITE = 2, 64
FOLLOW = 1
NO_DIRECTORY = 90
"""Exit code of a module for which no directory has the name."""


def text(value: bytes) -> str:
    """Return bytes as WebAssembly text has them."""
    return "".join(f"\\{byte:02x}" for byte in value)


def in_directory(directory: str, path: str, body: str, content: bytes = b"") -> bytes:
    """Return a program that does something with a path below a directory that it is given.

    ``body`` finds the descriptor in ``$dir``, the path at 1024 (size ``$size``), the content at 4096 (an iovec for it
    at 0), and room at 8192 (an iovec for it at 8). It ends with `NO_DIRECTORY` if there is no such directory.
    """
    name, size = directory.encode(), len(path.encode())
    return wasi(
        f"""(data (i32.const 512) "{text(name)}") (data (i32.const 1024) "{text(path.encode())}")
        (data (i32.const 4096) "{text(content)}")
        (data (i32.const 0) "\\00\\10\\00\\00{text(len(content).to_bytes(4, "little"))}")
        (data (i32.const 8) "\\00\\20\\00\\00\\00\\10\\00\\00")
        (global $size i32 (i32.const {size}))
        (func $same (param $length i32) (result i32) (local $at i32)
          (if (i32.ne (local.get $length) (i32.const {len(name)})) (then (return (i32.const 0))))
          (loop $next
            (if (i32.ne (i32.load8_u (i32.add (i32.const 512) (local.get $at)))
                        (i32.load8_u (i32.add (i32.const 768) (local.get $at)))) (then (return (i32.const 0))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $at) (local.get $length))))
          (i32.const 1))
        (func $ok (param i32) (if (local.get 0) (then (call $exit (local.get 0)))))
        (func (export "_start") (local $dir i32) (local $file i32)
          (local.set $dir (i32.const 3))
          (block $found
            (loop $next
              (if (call $get (local.get $dir) (i32.const 700)) (then (call $exit (i32.const {NO_DIRECTORY}))))
              (drop (call $name (local.get $dir) (i32.const 768) (i32.load (i32.const 704))))
              (br_if $found (call $same (i32.load (i32.const 704))))
              (local.set $dir (i32.add (local.get $dir) (i32.const 1)))
              (br $next)))
          {body})""",
        _IMPORTS,
    )


def opening(flags: int, rights: int) -> str:
    """Return the instructions that open the path; an error is the exit code."""
    return f"""(call $ok (call $open (local.get $dir) (i32.const {FOLLOW}) (i32.const 1024) (global.get $size)
        (i32.const {flags}) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 720)))
      (local.set $file (i32.load (i32.const 720)))"""


WRITING = "(call $ok (call $write (local.get $file) (i32.const 0) (i32.const 1) (i32.const 732)))"
READING = """(call $ok (call $read (local.get $file) (i32.const 8) (i32.const 1) (i32.const 732)))
  (i32.store (i32.const 12) (i32.load (i32.const 732)))
  (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 732)))"""


def write_file(path: str, content: bytes, flags: int = CREATE | TRUNCATE) -> bytes:
    """Return a program that writes a file; a WASI error is its exit code."""
    directory, _, name = path.rpartition("/")
    return in_directory(directory or "/", name, opening(flags, WRITE) + WRITING, content)


def read_file(directory: str, name: str) -> bytes:
    """Return a program that prints a file below a directory; a WASI error is its exit code."""
    return in_directory(directory, name, opening(0, READ) + READING)
