//! Expansion of `#[derive(Params)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Field, Fields, Lit, Type};

use crate::attributes::{Literal, ParamAttribute, doc_line};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new(input.ident.span(), "expected a struct"));
    };
    if !input.generics.params.is_empty() {
        return Err(syn::Error::new(input.generics.span(), "expected a struct without generics"));
    }
    let fields: Vec<&Field> = match &data.fields {
        Fields::Named(fields) => fields.named.iter().collect(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(_) => {
            return Err(syn::Error::new(input.ident.span(), "expected named fields"));
        }
    };
    let mut specs = Vec::new();
    let mut checks = Vec::new();
    let mut reads = Vec::new();
    let mut all_have_defaults = true;
    for (index, field) in fields.into_iter().enumerate() {
        let attribute = ParamAttribute::read(&field.attrs)?;
        all_have_defaults &= attribute.default.is_some() || is_option(&field.ty);
        let (ident, ty) = (&field.ident, &field.ty);
        specs.push(spec(field, &attribute));
        checks.extend(check(field, &attribute));
        reads.push(quote! {
            #ident: ::strait_sdk::__private::take::<#ty>(&values, specs.get(#index))?
        });
    }
    let ident = &input.ident;
    let default = all_have_defaults.then(|| {
        quote! {
            #[automatically_derived]
            impl ::std::default::Default for #ident {
                fn default() -> Self {
                    ::strait_sdk::__private::defaults::<Self>()
                }
            }
        }
    });
    Ok(quote! {
        #(#checks)*

        #[automatically_derived]
        impl ::strait_sdk::Params for #ident {
            fn specs() -> ::std::vec::Vec<::strait_sdk::ParamSpec> {
                ::std::vec![#(#specs),*]
            }

            fn from_json(values: &::strait_sdk::serde_json::Value) -> ::strait_sdk::Result<Self> {
                let specs = <Self as ::strait_sdk::Params>::specs();
                let values = ::strait_sdk::__private::resolve(&specs, values)?;
                let _ = &values;
                ::std::result::Result::Ok(Self { #(#reads),* })
            }
        }

        #default
    })
}

fn spec(field: &Field, attribute: &ParamAttribute) -> TokenStream {
    let ty = &field.ty;
    let name = field.ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
    let doc = doc_line(&field.attrs);
    let value = |literal: &Option<Literal>| match literal {
        Some(literal) => quote! {
            ::std::option::Option::Some(::strait_sdk::serde_json::Value::from(#literal))
        },
        None => quote!(::std::option::Option::None),
    };
    let (default, min, max) =
        (value(&attribute.default), value(&attribute.min), value(&attribute.max));
    quote! {
        ::strait_sdk::__private::spec::<#ty>(#name, #doc, #default, #min, #max)
    }
}

/// A text default of a choice is checked against its names when the plugin is compiled.
fn check(field: &Field, attribute: &ParamAttribute) -> Option<TokenStream> {
    let default = attribute.default.as_ref()?;
    let Lit::Str(text) = &default.lit else { return None };
    let ty = &field.ty;
    let message = format!("the default \"{}\" is not a name of this choice", text.value());
    let message = message.replace('{', "{{").replace('}', "}}");
    Some(quote_spanned! { text.span() =>
        const _: () = ::std::assert!(::strait_sdk::__private::is_name::<#ty>(#text), #message);
    })
}

fn is_option(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|s| s.ident == "Option"),
        _ => false,
    }
}
