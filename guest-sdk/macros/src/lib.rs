//! The macros of `wasmhot-guest`. They are documented there, where they are exported.

mod expand;
mod input;
mod schema;

use proc_macro::TokenStream;

/// See `wasmhot_guest::module!`.
#[proc_macro]
pub fn module(input: TokenStream) -> TokenStream {
    let module = syn::parse_macro_input!(input as input::Module);
    expand::module(&module)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// See `wasmhot_guest::state`.
#[proc_macro_attribute]
pub fn state(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let _: syn::parse::Nothing = syn::parse_macro_input!(arguments);
    let item = syn::parse_macro_input!(item as syn::DeriveInput);
    schema::state(&item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
