//! `module!` becomes bindings, exports, the implementation of `Stateful`, and two custom sections.

use std::env;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use semver::Version;
use serde_json::json;
use syn::{Error, Ident, LitStr, Result, Type};

use crate::input::{Entry, Module};

/// Everything.
pub(crate) fn module(module: &Module) -> Result<TokenStream> {
    let identity = Identity::of(module)?;
    let bindings = bindings(module);
    let state = module.state.as_ref().map(|state| stateful(module, state, &identity));
    let health = health(module);
    let section = identity.section(module);
    Ok(quote! { #bindings #state #health #section })
}

/// Name and version, given or the package's.
struct Identity {
    name: String,
    version: Version,
}

impl Identity {
    fn of(module: &Module) -> Result<Self> {
        let name = match &module.name {
            Some(name) => name.value(),
            None => package("CARGO_PKG_NAME")?.replace('_', "-").to_lowercase(),
        };
        let version = match &module.version {
            Some(version) => version.value(),
            None => package("CARGO_PKG_VERSION")?,
        };
        let version = version.parse().map_err(|error| Error::new(Span::call_site(), error))?;
        Ok(Self { name, version })
    }

    /// `wasmhot:module`.
    fn section(&self, module: &Module) -> TokenStream {
        let mut json = json!({ "name": self.name, "version": self.version.to_string() });
        if let Some(kind) = &module.kind {
            json["kind"] = kind.to_string().into();
        }
        let text = json.to_string();
        section("wasmhot:module", &quote! { &[#text] })
    }
}

fn package(variable: &str) -> Result<String> {
    env::var(variable).map_err(|_| {
        Error::new(
            Span::call_site(),
            format!("{variable} is not set: give it in `module!`"),
        )
    })
}

/// The author's world, in a module of its own.
fn bindings(module: &Module) -> Option<TokenStream> {
    let (world, exports) = (module.world.as_ref()?, module.exports.as_ref()?);
    Some(quote! {
        #[allow(missing_docs, unsafe_code, unreachable_pub, unused, clippy::all, reason = "written by wit-bindgen")]
        pub mod bindings {
            ::wasmhot_guest::wit_bindgen::generate!({
                path: "wit",
                world: #world,
                runtime_path: "wasmhot_guest::wit_bindgen::rt",
                // Interfaces of other packages too: of modules that somebody else made.
                generate_all,
            });
        }

        // Only in Wasm: natively, two versions of a module are linked into one test, and their symbols would clash.
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "written by wit-bindgen")]
        const _: () = {
            bindings::export!(#exports with_types_in bindings);
        };
    })
}

/// `Stateful`, its export and its description.
fn stateful(module: &Module, state: &Type, identity: &Identity) -> TokenStream {
    let (name, version) = (&identity.name, identity.version.to_string());
    let codec = codec(module.format.as_ref());
    let reads = list(module.reads.as_ref())
        .iter()
        .map(|entry| reader(entry, state, module));
    let writes = list(module.writes.as_ref())
        .iter()
        .map(|entry| writer(entry, state, module));
    let description = description(module, state, identity);
    let health = module.health.as_ref().map(|check| {
        quote! {
            fn health(&self) -> ::core::result::Result<(), ::std::string::String> {
                const CHECK: fn(&#state) -> ::core::result::Result<(), ::std::string::String> = #check;
                CHECK(self)
            }
        }
    });
    let export = export(module, state);
    quote! {
        impl ::wasmhot_guest::Stateful for #state {
            const NAME: &'static str = #name;
            const VERSION: &'static str = #version;
            const READS: &'static [::wasmhot_guest::Reader<Self>] = &[#(#reads),*];
            const WRITES: &'static [::wasmhot_guest::Writer<Self>] = &[#(#writes),*];
            type Codec = #codec;

            fn cell() -> &'static ::std::thread::LocalKey<::std::cell::RefCell<Self>> {
                ::std::thread_local! {
                    static STATE: ::std::cell::RefCell<#state> = ::core::default::Default::default();
                }
                &STATE
            }

            #health
        }

        #export

        #description
    }
}

/// The export of a stateful module, and those of `live` and `incremental` if it wants them.
fn export(module: &Module, state: &Type) -> TokenStream {
    let live = module.live.as_ref().map(|live| {
        quote! {
            const _: () = {
                /// Natively too, so that what `live` names is checked.
                pub struct Live;

                impl ::wasmhot_guest::__private::Live for Live {
                    fn live(change: &::wasmhot_guest::Change) -> ::core::result::Result<(), ::std::string::String> {
                        const LIVE: fn(
                            &::wasmhot_guest::Change,
                        ) -> ::core::result::Result<(), ::std::string::String> = #live;
                        LIVE(change)
                    }
                }

                #[cfg(target_family = "wasm")]
                #[allow(unsafe_code, reason = "written by wit-bindgen")]
                const _: () = {
                    type WhenLive = ::wasmhot_guest::__private::WhenLive<Live>;
                    ::wasmhot_guest::bindings::live::export_live!(
                        WhenLive with_types_in ::wasmhot_guest::bindings::live
                    );
                };
            };
        }
    });
    let incremental = module.incremental.as_ref().is_some_and(|wanted| wanted.value).then(|| {
        quote! {
            #[cfg(target_family = "wasm")]
            #[allow(unsafe_code, reason = "written by wit-bindgen")]
            const _: () = {
                type Incremental = ::wasmhot_guest::__private::Incremental<#state>;
                ::wasmhot_guest::bindings::incremental::export_incremental!(
                    Incremental with_types_in ::wasmhot_guest::bindings::incremental
                );
            };
        }
    });
    quote! {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "written by wit-bindgen")]
        const _: () = {
            type Lifecycle = ::wasmhot_guest::__private::Lifecycle<#state>;
            ::wasmhot_guest::bindings::stateful::export_stateful!(
                Lifecycle with_types_in ::wasmhot_guest::bindings::stateful
            );
        };

        #live

        #incremental
    }
}

fn list(entries: Option<&Vec<Entry>>) -> &[Entry] {
    entries.map_or(&[], Vec::as_slice)
}

fn codec(format: Option<&Ident>) -> TokenStream {
    match format {
        Some(format) if format == "postcard" => quote! { ::wasmhot_guest::codec::Postcard },
        _ => quote! { ::wasmhot_guest::codec::Cbor },
    }
}

fn reader(entry: &Entry, state: &Type, module: &Module) -> TokenStream {
    let (range, old) = (&entry.range, &entry.old);
    let codec = codec(entry.format.as_ref().or(module.format.as_ref()));
    let read = match &entry.via {
        Some(via) => {
            quote! { |change, bytes| ::wasmhot_guest::__private::read_into::<#codec, #old, #state>(bytes, change, #via) }
        }
        None => quote! { |_, bytes| ::wasmhot_guest::__private::convert::<#codec, #old, #state>(bytes) },
    };
    quote! { ::wasmhot_guest::Reader { range: #range, read: #read } }
}

fn writer(entry: &Entry, state: &Type, module: &Module) -> TokenStream {
    let (range, old) = (&entry.range, &entry.old);
    let codec = codec(entry.format.as_ref().or(module.format.as_ref()));
    let write = match &entry.via {
        Some(via) => {
            quote! { |state, change| ::wasmhot_guest::__private::write_from::<#codec, #old, #state>(state, change, #via) }
        }
        None => quote! { |state, _| ::wasmhot_guest::__private::give::<#codec, #old, #state>(state) },
    };
    quote! { ::wasmhot_guest::Writer { range: #range, write: #write } }
}

/// `wasmhot:state`. The own format comes first in `reads`.
fn description(module: &Module, state: &Type, identity: &Identity) -> TokenStream {
    let codec = codec(module.format.as_ref());
    let schema = match &module.schema {
        Some(schema) => quote! { #schema },
        None => quote! { <#state as ::wasmhot_guest::Described>::SCHEMA },
    };
    let ranges = |entries| list(entries).iter().map(|entry: &Entry| entry.range.value());
    let own = format!("~{}.{}", identity.version.major, identity.version.minor);
    let reads: Vec<String> = std::iter::once(own).chain(ranges(module.reads.as_ref())).collect();
    let writes: Vec<String> = ranges(module.writes.as_ref()).collect();
    let tail = format!(r#","reads":{},"writes":{}}}"#, json!(reads), json!(writes));
    let media_type = quote! { <#codec as ::wasmhot_guest::codec::Codec>::MEDIA_TYPE };
    section(
        "wasmhot:state",
        &quote! { &["{\"media-type\":\"", #media_type, "\",\"schema\":", #schema, #tail] },
    )
}

/// The export of the health check: of the state, if there is one.
fn health(module: &Module) -> Option<TokenStream> {
    let check = module.health.as_ref()?;
    let ask = match &module.state {
        Some(state) => quote! {
            <#state as ::wasmhot_guest::Stateful>::with(<#state as ::wasmhot_guest::Stateful>::health)
        },
        None => quote! { (#check)() },
    };
    // Named natively too, so that it is checked, and not called unused.
    let stateless = module.state.is_none().then(|| {
        quote! { const _: fn() -> ::core::result::Result<(), ::std::string::String> = #check; }
    });
    Some(quote! {
        const _: () = {
            #stateless

            #[cfg(target_family = "wasm")]
            struct Health;

            #[cfg(target_family = "wasm")]
            impl ::wasmhot_guest::bindings::health::exports::wasmhot::module::health::Guest for Health {
                fn check() -> ::core::result::Result<(), ::std::string::String> {
                    #ask
                }
            }

            #[cfg(target_family = "wasm")]
            #[allow(unsafe_code, reason = "written by wit-bindgen")]
            const _: () = {
                ::wasmhot_guest::bindings::health::export_health!(
                    Health with_types_in ::wasmhot_guest::bindings::health
                );
            };
        };
    })
}

/// A custom section of the core module; the linker keeps it, and it ends up in the component as it is.
fn section(name: &str, parts: &TokenStream) -> TokenStream {
    let name = LitStr::new(name, Span::call_site());
    quote! {
        const _: () = {
            const PARTS: &[&str] = #parts;
            const BYTES: [u8; ::wasmhot_guest::__private::length(PARTS)] = ::wasmhot_guest::__private::join(PARTS);

            #[cfg(target_family = "wasm")]
            #[allow(unsafe_code, reason = "the linker puts these bytes into a section; nothing reads them")]
            #[unsafe(link_section = #name)]
            #[used]
            static SECTION: [u8; BYTES.len()] = BYTES;

            // Natively there is nobody to read it; that it can be joined is checked all the same.
            #[cfg(not(target_family = "wasm"))]
            let _ = BYTES;
        };
    }
}
