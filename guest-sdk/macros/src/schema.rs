//! `#[state]` derives serde, and notes the fields of a type as they are written: honest, if not clever.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use serde_json::{Map, Value, json};
use syn::{Data, DeriveInput, Fields, Result};

/// The item with its derives, and its `Described`.
pub(crate) fn state(item: &DeriveInput) -> Result<TokenStream> {
    let name = &item.ident;
    let schema = schema(item)?.to_string();
    let strict = (!flattens(item)).then(|| quote! { #[serde(deny_unknown_fields)] });
    let (generics, type_generics, bounds) = item.generics.split_for_impl();
    Ok(quote! {
        #[derive(::wasmhot_guest::serde::Serialize, ::wasmhot_guest::serde::Deserialize)]
        #[serde(crate = "::wasmhot_guest::serde")]
        #strict
        #item

        impl #generics ::wasmhot_guest::Described for #name #type_generics #bounds {
            const SCHEMA: &'static str = #schema;
        }
    })
}

/// Fields that nobody knows are an error: read as the wrong format, a state would lose them without a word. Only serde's `flatten`
/// does not go with it.
fn flattens(item: &DeriveInput) -> bool {
    let Data::Struct(data) = &item.data else { return false };
    let mut attributes = data.fields.iter().flat_map(|field| &field.attrs);
    attributes.any(|attribute| attribute.to_token_stream().to_string().contains("flatten"))
}

fn schema(item: &DeriveInput) -> Result<Value> {
    let name = item.ident.to_string();
    match &item.data {
        Data::Struct(data) => Ok(json!({ "type": name, "fields": fields(&data.fields) })),
        Data::Enum(data) => {
            let variants = data
                .variants
                .iter()
                .map(|variant| (variant.ident.to_string(), fields(&variant.fields)));
            Ok(json!({ "type": name, "variants": variants.collect::<Map<_, _>>() }))
        }
        Data::Union(_) => Err(syn::Error::new(item.ident.span(), "a union cannot be saved")),
    }
}

/// `{"count":"i64"}`, or `["i64"]` where fields have no names.
fn fields(fields: &Fields) -> Value {
    let text = |field: &syn::Field| Value::String(source(&field.ty));
    match fields {
        Fields::Named(fields) => {
            let named = |field: &syn::Field| Some((field.ident.as_ref()?.to_string(), text(field)));
            Value::Object(fields.named.iter().filter_map(named).collect())
        }
        Fields::Unnamed(fields) => Value::Array(fields.unnamed.iter().map(text).collect()),
        Fields::Unit => Value::Array(Vec::new()),
    }
}

/// A type as an author would write it: without the blanks that tokens have between them, but after commas.
fn source(tokens: &impl ToTokens) -> String {
    let text: String = tokens.to_token_stream().to_string().split_whitespace().collect();
    text.replace(',', ", ")
}
