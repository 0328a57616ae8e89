//! The indexes that a view's row declares on its fields.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, Error, Fields, Ident, LitStr, Meta, Result, Token};

use crate::serde_attributes::{field_name, keys};

/// The most indexes of a view, and fields of an index (both inclusive): the host refuses more.
const MAX_INDEXES: usize = 16;
const MAX_FIELDS: usize = 4;

/// The constant with all indexes; nothing when there are none.
pub(super) fn expand(
    data: &Data,
    is_object: bool,
    rename_all: Option<&LitStr>,
) -> Result<TokenStream> {
    let fields = match data {
        Data::Struct(data) => match (&data.fields, is_object) {
            (Fields::Named(fields), true) => &fields.named,
            (fields, _) => return refuse(fields),
        },
        Data::Enum(data) => {
            return data
                .variants
                .iter()
                .try_fold(TokenStream::new(), |_, variant| refuse(&variant.fields));
        }
        Data::Union(_) => return Ok(TokenStream::new()),
    };
    let mut columns = Vec::new();
    for field in fields {
        let keys = keys(&field.attrs)?;
        let is_skipped = keys
            .iter()
            .any(|key| key.is_one_of(&["skip", "skip_serializing", "skip_deserializing"]));
        if let (Some(ident), false) = (&field.ident, is_skipped) {
            columns.push((ident, field_name(ident, &keys, rename_all)?));
        }
    }
    let mut indexes: Vec<Vec<&str>> = Vec::new();
    for field in fields {
        for attribute in attributes(&field.attrs) {
            let index = index(attribute, field.ident.as_ref(), &columns)?;
            if indexes.contains(&index) {
                let message = "there is this index already";
                return Err(Error::new_spanned(attribute, message));
            }
            indexes.push(index);
            if indexes.len() > MAX_INDEXES {
                let message = format!("a view has {MAX_INDEXES} indexes at most");
                return Err(Error::new_spanned(attribute, message));
            }
        }
    }
    if indexes.is_empty() {
        return Ok(TokenStream::new());
    }
    Ok(quote! {
        const INDEXES: &'static [&'static [&'static str]] = &[#(&[#(#indexes),*]),*];
    })
}

fn attributes(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("index"))
}

/// Refuses an index where JSON has no fields with names.
fn refuse(fields: &Fields) -> Result<TokenStream> {
    let attribute = fields
        .iter()
        .find_map(|field| attributes(&field.attrs).next());
    match attribute {
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            "an index is on a named field of a struct whose JSON is an object",
        )),
        None => Ok(TokenStream::new()),
    }
}

/// The JSON names of the fields of one index: that which has the attribute, and those in it.
fn index<'a>(
    attribute: &Attribute,
    field: Option<&Ident>,
    columns: &'a [(&Ident, String)],
) -> Result<Vec<&'a str>> {
    let more = match &attribute.meta {
        Meta::Path(_) => Punctuated::new(),
        Meta::List(_) => {
            attribute.parse_args_with(Punctuated::<Ident, Token![,]>::parse_terminated)?
        }
        Meta::NameValue(_) => {
            return Err(Error::new_spanned(
                attribute,
                "an index is `#[index]`, or `#[index(second, third)]` with more fields",
            ));
        }
    };
    let mut names = Vec::new();
    for ident in field.into_iter().chain(&more) {
        let wrong = |message: String| Err(Error::new(ident.span(), message));
        let Some((_, name)) = columns.iter().find(|(known, _)| *known == ident) else {
            return wrong(format!("the row's JSON has no field `{ident}`"));
        };
        if names.contains(&name.as_str()) {
            return wrong(format!("`{ident}` is in this index already"));
        }
        names.push(name.as_str());
        if names.len() > MAX_FIELDS {
            return wrong(format!("an index has {MAX_FIELDS} fields at most"));
        }
    }
    Ok(names)
}
