//! Expansion of `#[derive(Choice)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, LitStr};

use crate::attributes::{choice_name, doc_line};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(syn::Error::new(input.ident.span(), "expected an enum"));
    };
    let mut idents = Vec::new();
    let mut names: Vec<LitStr> = Vec::new();
    let mut docs = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(syn::Error::new(variant.ident.span(), "expected a variant without fields"));
        }
        let name = choice_name(&variant.attrs)?.unwrap_or_else(|| {
            LitStr::new(&snake_case(&variant.ident.to_string()), variant.ident.span())
        });
        if names.iter().any(|other| other.value() == name.value()) {
            return Err(syn::Error::new(name.span(), "two variants have this name"));
        }
        idents.push(&variant.ident);
        names.push(name);
        docs.push(doc_line(&variant.attrs));
    }
    let ident = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::strait_sdk::Choice for #ident {
            const NAMES: &'static [&'static str] = &[#(#names),*];

            fn choices() -> ::std::vec::Vec<::strait_sdk::ChoiceSpec> {
                ::std::vec![#(::strait_sdk::ChoiceSpec {
                    name: ::std::string::String::from(#names),
                    doc: ::std::string::String::from(#docs),
                }),*]
            }

            fn from_name(name: &str) -> ::std::option::Option<Self> {
                match name {
                    #(#names => ::std::option::Option::Some(Self::#idents),)*
                    _ => ::std::option::Option::None,
                }
            }

            fn name(&self) -> &'static str {
                match *self {
                    #(Self::#idents => #names,)*
                }
            }
        }

        #[automatically_derived]
        impl ::strait_sdk::ParamField for #ident {
            const KIND: ::strait_sdk::ParamKind = ::strait_sdk::ParamKind::Choice;
            const NAMES: ::std::option::Option<&'static [&'static str]> =
                ::std::option::Option::Some(<Self as ::strait_sdk::Choice>::NAMES);

            fn choices() -> ::std::vec::Vec<::strait_sdk::ChoiceSpec> {
                <Self as ::strait_sdk::Choice>::choices()
            }

            fn from_value(
                value: &::strait_sdk::serde_json::Value,
            ) -> ::std::option::Option<Self> {
                <Self as ::strait_sdk::Choice>::from_name(value.as_str()?)
            }
        }
    })
}

/// `PerGroup` → `per_group`, `E4M3` → `e4m3`, `Fp8E4m3` → `fp8_e4m3`.
fn snake_case(ident: &str) -> String {
    let mut name = String::new();
    let mut after_lower = false;
    for c in ident.chars() {
        if c.is_uppercase() && after_lower {
            name.push('_');
        }
        if c.is_alphabetic() {
            after_lower = c.is_lowercase();
        }
        name.extend(c.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn names() {
        for (ident, name) in [
            ("Token", "token"),
            ("PerGroup", "per_group"),
            ("E4M3", "e4m3"),
            ("Fp8E4m3", "fp8_e4m3"),
            ("F16", "f16"),
            ("Nested8Bit", "nested8_bit"),
        ] {
            assert_eq!(snake_case(ident), name);
        }
    }
}
