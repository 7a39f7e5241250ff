//! Reading of doc comments and of `#[param(…)]` and `#[choice(…)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Token};

/// The doc comment as one line.
pub(crate) fn doc_line(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A literal with an optional minus sign.
pub(crate) struct Literal {
    negative: bool,
    pub(crate) lit: Lit,
}

impl Literal {
    /// The value of a number literal.
    pub(crate) fn number(&self) -> Option<f64> {
        let value: f64 = match &self.lit {
            Lit::Int(int) => int.base10_parse().ok()?,
            Lit::Float(float) => float.base10_parse().ok()?,
            _ => return None,
        };
        Some(if self.negative { -value } else { value })
    }
}

impl Parse for Literal {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let negative = input.parse::<Option<Token![-]>>()?.is_some();
        let lit: Lit = input.parse()?;
        if negative && !matches!(lit, Lit::Int(_) | Lit::Float(_)) {
            return Err(syn::Error::new(lit.span(), "expected a number after `-`"));
        }
        Ok(Literal { negative, lit })
    }
}

impl ToTokens for Literal {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let lit = &self.lit;
        tokens.extend(if self.negative { quote!(-#lit) } else { quote!(#lit) });
    }
}

/// The content of `#[param(…)]`.
#[derive(Default)]
pub(crate) struct ParamAttribute {
    pub(crate) default: Option<Literal>,
    pub(crate) min: Option<Literal>,
    pub(crate) max: Option<Literal>,
}

impl ParamAttribute {
    pub(crate) fn read(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut read = ParamAttribute::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("param")) {
            attribute.parse_nested_meta(|meta| {
                let slot = if meta.path.is_ident("default") {
                    &mut read.default
                } else if meta.path.is_ident("min") {
                    &mut read.min
                } else if meta.path.is_ident("max") {
                    &mut read.max
                } else {
                    return Err(meta.error("expected `default`, `min` or `max`"));
                };
                if slot.is_some() {
                    return Err(meta.error("given twice"));
                }
                *slot = Some(meta.value()?.parse()?);
                Ok(())
            })?;
        }
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> syn::Result<()> {
        for limit in [&self.min, &self.max].into_iter().flatten() {
            if limit.number().is_none() {
                return Err(syn::Error::new(limit.lit.span(), "expected a number"));
            }
        }
        let Some(default) = &self.default else { return Ok(()) };
        let Some(value) = default.number() else { return Ok(()) };
        let below = self.min.as_ref().and_then(Literal::number).is_some_and(|min| value < min);
        let above = self.max.as_ref().and_then(Literal::number).is_some_and(|max| value > max);
        if below || above {
            return Err(syn::Error::new(default.lit.span(), "the default is out of range"));
        }
        Ok(())
    }
}

/// The name in `#[choice(name = "…")]`, if there is one.
pub(crate) fn choice_name(attributes: &[Attribute]) -> syn::Result<Option<LitStr>> {
    let mut name = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("choice")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("expected `name`"));
            }
            name = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(name)
}
