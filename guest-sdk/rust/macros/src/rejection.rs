//! `#[derive(Rejection)]`.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, Variant};

use crate::case;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "rejections are an enum with one variant for each",
        ));
    };
    if data.variants.is_empty() {
        let message =
            "a decider that never says no has `type Rejection = std::convert::Infallible`";
        return Err(Error::new_spanned(&input.ident, message));
    }
    let (mut codes, mut code_arms, mut message_arms) = (Vec::new(), Vec::new(), Vec::new());
    let mut taken = HashSet::new();
    for variant in &data.variants {
        let (code, message) = texts(variant)?;
        if !taken.insert(code.value()) {
            return Err(Error::new(
                code.span(),
                format!("more than one rejection has the code \"{}\"", code.value()),
            ));
        }
        let ident = &variant.ident;
        let (pattern, message) = with_fields(&variant.fields, &message);
        code_arms.push(quote! { Self::#ident { .. } => #code, });
        message_arms.push(quote! { Self::#ident #pattern => ::std::format!(#message), });
        codes.push(code);
    }
    let ident = &input.ident;
    Ok(quote! {
        impl ::gavel::Rejection for #ident {
            const CODES: &'static [&'static str] = &[#(#codes),*];

            fn code(&self) -> &'static str {
                match *self {
                    #(#code_arms)*
                }
            }

            #[allow(unused_variables, reason = "a message need not name every field")]
            fn message(&self) -> ::std::string::String {
                match self {
                    #(#message_arms)*
                }
            }

            fn data(&self) -> ::std::option::Option<::std::string::String> {
                ::gavel::__private::rejection_data(self)
            }
        }
    })
}

/// The code and the message's template.
fn texts(variant: &Variant) -> Result<(LitStr, LitStr)> {
    let (mut code, mut message) = (None, None);
    for attribute in variant
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("rejection"))
    {
        attribute.parse_nested_meta(|meta| {
            let slot = if meta.path.is_ident("code") {
                &mut code
            } else if meta.path.is_ident("message") {
                &mut message
            } else {
                return Err(
                    meta.error("unknown key: there are `code = \"…\"` and `message = \"…\"`")
                );
            };
            *slot = Some(meta.value()?.parse::<LitStr>()?);
            Ok(())
        })?;
    }
    let name = variant.ident.to_string();
    let default = |separator| LitStr::new(&case::separated(&name, separator), variant.ident.span());
    Ok((
        code.unwrap_or_else(|| default('-')),
        message.unwrap_or_else(|| default(' ')),
    ))
}

/// A pattern that binds the variant's fields, and `message` as a format string over them.
fn with_fields(fields: &Fields, message: &LitStr) -> (TokenStream, LitStr) {
    match fields {
        Fields::Unit => (TokenStream::new(), message.clone()),
        Fields::Named(fields) => {
            let names = fields.named.iter().map(|field| &field.ident);
            (quote! { { #(#names),* } }, message.clone())
        }
        Fields::Unnamed(fields) => {
            let names = (0..fields.unnamed.len()).map(|index| format_ident!("_{index}"));
            // `{0}` would mean an argument of `format!`; the field is bound as `_0`.
            let text = (0..fields.unnamed.len()).fold(message.value(), |text, index| {
                text.replace(&format!("{{{index}}}"), &format!("{{_{index}}}"))
            });
            (
                quote! { ( #(#names),* ) },
                LitStr::new(&text, message.span()),
            )
        }
    }
}
