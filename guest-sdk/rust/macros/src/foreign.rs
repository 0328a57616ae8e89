//! `#[derive(Foreign)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Data, DataEnum, DeriveInput, Error, Fields, LitInt, LitStr, Result, Token, Type,
    Variant,
};

use crate::attribute::check_decider_name;
use crate::serde_attributes;

/// The keys of `#[foreign(…)]`, above the enum or on a variant.
#[derive(Default)]
struct Origin {
    decider: Option<LitStr>,
    versions: Vec<LitInt>,
}

impl Origin {
    fn of(attributes: &[Attribute]) -> Result<Self> {
        let mut origin = Self::default();
        for attribute in attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("foreign"))
        {
            attribute.parse_nested_meta(|meta| origin.read(&meta))?;
        }
        Ok(origin)
    }

    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("decider") {
            let decider = meta.value()?.parse()?;
            check_decider_name(&decider)?;
            self.decider = Some(decider);
        } else if meta.path.is_ident("versions") {
            let content;
            let value = meta.value()?;
            syn::bracketed!(content in value);
            let versions = Punctuated::<LitInt, Token![,]>::parse_terminated(&content)?;
            if versions.is_empty() {
                return Err(meta.error("an event is read in one schema version at least"));
            }
            self.versions.extend(versions);
        } else {
            return Err(
                meta.error("unknown key: there are `decider = \"…\"` and `versions = [1, 2]`")
            );
        }
        Ok(())
    }

    /// The versions, each one larger than that before.
    fn versions(&self) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for version in &self.versions {
            let number = version.base10_parse::<u32>()?;
            if number <= numbers.last().copied().unwrap_or(0) {
                let message =
                    "schema versions begin with 1, and are named once, in ascending order";
                return Err(Error::new(version.span(), message));
            }
            numbers.push(number);
        }
        Ok(numbers)
    }
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "foreign events are an enum with one variant for each, or for each decider",
        ));
    };
    if !input.generics.params.is_empty() {
        let message = "events are of concrete deciders: their enum cannot be generic";
        return Err(Error::new_spanned(&input.generics, message));
    }
    let origin = Origin::of(&input.attrs)?;
    if let Some(version) = origin.versions.first() {
        let message = "versions are those of one event: name them on its variant";
        return Err(Error::new(version.span(), message));
    }
    let (reads, read) = match &origin.decider {
        Some(decider) => of_one_decider(input, data, decider)?,
        None => of_several(data)?,
    };
    let ident = &input.ident;
    Ok(quote! {
        impl ::gavel::Foreign for #ident {
            fn reads() -> ::std::vec::Vec<::gavel::ForeignEvent> {
                #[allow(unused_imports, reason = "a type with its own facts needs no others")]
                use ::gavel::__private::PlainEvents as _;
                let mut reads = ::std::vec::Vec::new();
                #(reads.extend(#reads);)*
                reads
            }

            fn read(
                decider: &str,
                name: &str,
                schema_version: u32,
                data: &str,
            ) -> ::std::option::Option<::std::result::Result<Self, ::std::string::String>> {
                #[allow(unused_imports, reason = "a type with its own facts needs no others")]
                use ::gavel::__private::PlainEvents as _;
                #(#read)*
                ::std::option::Option::None
            }
        }
    })
}

/// Expressions of what is read, and statements that return an event that was read.
type Parts = (Vec<TokenStream>, Vec<TokenStream>);

/// The parts of an enum whose variants are events of `decider`.
fn of_one_decider(input: &DeriveInput, data: &DataEnum, decider: &LitStr) -> Result<Parts> {
    let keys = serde_attributes::keys(&input.attrs)?;
    if let Some(key) = keys.iter().find(|key| key.is_one_of(&["tag", "untagged"])) {
        return Err(key.error("events are an enum in serde's default representation"));
    }
    let rename_all = serde_attributes::text_of(&keys, "rename_all")?;
    let mut names = Vec::new();
    for variant in &data.variants {
        let keys = serde_attributes::keys(&variant.attrs)?;
        if keys
            .iter()
            .any(|key| key.is_one_of(&["skip", "skip_deserializing"]))
        {
            continue;
        }
        if let Some(key) = keys
            .iter()
            .find(|key| key.is_one_of(&["other", "untagged"]))
        {
            return Err(key.error("a module reads events that it names"));
        }
        let origin = Origin::of(&variant.attrs)?;
        if let Some(decider) = &origin.decider {
            let message =
                "the decider is named above the enum: its variants are that decider's events";
            return Err(Error::new(decider.span(), message));
        }
        let versions = origin.versions()?;
        if let (Some(version), true) = (origin.versions.first(), has_upcasters(variant)) {
            let message = "the versions follow from `#[event(…)]`: leave one of them out";
            return Err(Error::new(version.span(), message));
        }
        let name = serde_attributes::variant_name(&variant.ident, &keys, rename_all.as_ref())?;
        names.push(quote!((#name, &[#(#versions),*] as &'static [u32])));
    }
    let names = quote!([#(#names),*]);
    let table = quote!(&<::gavel::__private::EventProbe<Self>>::TABLE);
    let reads = quote!(::gavel::__private::reads_of(#decider, #names, #table));
    let read = quote! {
        if decider == #decider {
            return ::gavel::__private::read_of(#names, #table, name, schema_version, data);
        }
    };
    Ok((vec![reads], vec![read]))
}

fn has_upcasters(variant: &Variant) -> bool {
    variant
        .attrs
        .iter()
        .any(|attribute| attribute.path().is_ident("event"))
}

/// The parts of an enum whose variants wrap events of one decider each.
fn of_several(data: &DataEnum) -> Result<Parts> {
    let (mut reads, mut read) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        let ident = &variant.ident;
        let origin = Origin::of(&variant.attrs)?;
        if let Some(version) = origin.versions.first() {
            let message = "the versions are those that the wrapped type reads";
            return Err(Error::new(version.span(), message));
        }
        let events = wrapped(variant)?;
        if let Some(decider) = &origin.decider {
            let names =
                quote_spanned! { events.span() => ::gavel::__private::event_names::<#events>() };
            let table = quote!(&<::gavel::__private::EventProbe<#events>>::TABLE);
            reads.push(quote!(::gavel::__private::reads_of(#decider, #names, #table)));
            read.push(quote! {
                if decider == #decider {
                    let event = ::gavel::__private::read_of(#names, #table, name, schema_version, data);
                    if let ::std::option::Option::Some(event) = event {
                        return ::std::option::Option::Some(event.map(Self::#ident));
                    }
                }
            });
        } else {
            let foreign = quote_spanned! { events.span() => <#events as ::gavel::Foreign> };
            reads.push(quote!(#foreign::reads()));
            read.push(quote! {
                if let ::std::option::Option::Some(event) = #foreign::read(decider, name, schema_version, data) {
                    return ::std::option::Option::Some(event.map(Self::#ident));
                }
            });
        }
    }
    Ok((reads, read))
}

/// The one type that a variant wraps.
fn wrapped(variant: &Variant) -> Result<&Type> {
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(&fields.unnamed[0].ty),
        _ => Err(Error::new_spanned(
            variant,
            "without `#[foreign(decider = \"…\")]` above the enum, each variant wraps the events of one decider: `Order(OrderEvent)`",
        )),
    }
}
