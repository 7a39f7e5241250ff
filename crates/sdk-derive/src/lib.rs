//! The derives of strait-sdk: `Params` for a codec's parameter table, `Choice` for its enums.

mod attributes;
mod choice;
mod params;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `strait_sdk::Params` (and `Default`, when every field has a default).
///
/// Each field may carry `#[param(default = …, min = …, max = …)]` with literals; its doc comment
/// becomes the parameter's description.
#[proc_macro_derive(Params, attributes(param))]
pub fn derive_params(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    params::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `strait_sdk::Choice` for an enum without fields.
///
/// Names are `snake_case` of the variants, or `#[choice(name = "…")]`; doc comments become the
/// descriptions.
#[proc_macro_derive(Choice, attributes(choice))]
pub fn derive_choice(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    choice::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
