//! The `wasmhot` command.

fn main() -> std::process::ExitCode {
    wasmhot::cli::main()
}
