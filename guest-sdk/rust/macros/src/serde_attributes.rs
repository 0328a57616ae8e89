//! The attributes `#[serde(…)]`, as far as they shape the JSON of a type.

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::{Attribute, Error, Expr, ExprLit, Ident, Lit, LitStr, Result, Token};

use crate::case;

/// One key of `#[serde(…)]`.
pub(crate) struct Key {
    name: String,
    span: Span,
    value: Option<LitStr>,
}

impl Key {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    pub(crate) fn is_one_of(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    pub(crate) fn error(&self, message: &str) -> Error {
        Error::new(self.span, message)
    }

    /// The text of `key = "text"`.
    pub(crate) fn text(&self) -> Result<LitStr> {
        let message = "one name serves both directions here: write `key = \"…\"`";
        self.value.clone().ok_or_else(|| self.error(message))
    }
}

/// All keys, in order.
pub(crate) fn keys(attributes: &[Attribute]) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("serde"))
    {
        attribute.parse_nested_meta(|meta| {
            let ident: Ident = meta.path.require_ident()?.unraw();
            let mut value = None;
            if meta.input.peek(Token![=]) {
                if let Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) = meta.value()?.parse()?
                {
                    value = Some(text);
                }
            } else if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<TokenStream>()?;
            }
            keys.push(Key {
                name: ident.to_string(),
                span: ident.span(),
                value,
            });
            Ok(())
        })?;
    }
    Ok(keys)
}

/// The value of `key = "text"`, if there is such a key.
pub(crate) fn text_of(keys: &[Key], name: &str) -> Result<Option<LitStr>> {
    keys.iter()
        .find(|key| key.is(name))
        .map(Key::text)
        .transpose()
}

/// The name that serde gives a variant.
pub(crate) fn variant_name(
    ident: &Ident,
    keys: &[Key],
    rename_all: Option<&LitStr>,
) -> Result<String> {
    name(ident, keys, rename_all, case::variant)
}

/// The name that serde gives a field.
pub(crate) fn field_name(
    ident: &Ident,
    keys: &[Key],
    rename_all: Option<&LitStr>,
) -> Result<String> {
    name(ident, keys, rename_all, case::field)
}

fn name(
    ident: &Ident,
    keys: &[Key],
    rename_all: Option<&LitStr>,
    renamed: fn(&str, &str) -> Option<String>,
) -> Result<String> {
    let ident = ident.unraw().to_string();
    match (text_of(keys, "rename")?, rename_all) {
        (Some(name), _) => Ok(name.value()),
        (None, None) => Ok(ident),
        (None, Some(rule)) => {
            renamed(&ident, &rule.value()).ok_or_else(|| Error::new(rule.span(), "unknown rule"))
        }
    }
}
