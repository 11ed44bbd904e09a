"""WebAssembly modules on the client's side: where they come from, what is wrong with them, jobs that run them."""
