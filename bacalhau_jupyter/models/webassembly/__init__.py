"""WebAssembly modules as files. Pure; nothing is compiled or run."""
