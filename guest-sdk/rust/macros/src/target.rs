//! `#[derive(Target)]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Data, DeriveInput, Error, LitStr, Result};

use crate::attribute::check_decider_name;
use crate::serde_attributes;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "the commands of a decider are an enum with one variant for each",
        ));
    };
    if !input.generics.params.is_empty() {
        let message = "commands are of a concrete decider: their enum cannot be generic";
        return Err(Error::new_spanned(&input.generics, message));
    }
    let decider = decider(input)?;
    let keys = serde_attributes::keys(&input.attrs)?;
    if let Some(key) = keys.iter().find(|key| key.is_one_of(&["tag", "untagged"])) {
        return Err(key.error("commands are an enum in serde's default representation"));
    }
    let rename_all = serde_attributes::text_of(&keys, "rename_all")?;
    let mut names = Vec::new();
    for variant in &data.variants {
        let keys = serde_attributes::keys(&variant.attrs)?;
        let is_skipped = |key: &serde_attributes::Key| key.is_one_of(&["skip", "skip_serializing"]);
        if !keys.iter().any(is_skipped) {
            if let Some(key) = keys.iter().find(|key| key.is("untagged")) {
                return Err(key.error("a command has the name of its variant"));
            }
            names.push(serde_attributes::variant_name(
                &variant.ident,
                &keys,
                rename_all.as_ref(),
            )?);
        }
    }
    let ident = &input.ident;
    Ok(quote! {
        impl ::gavel::Target for #ident {
            const DECIDER: &'static str = #decider;
            const COMMANDS: &'static [&'static str] = &[#(#names),*];
        }
    })
}

/// The decider of `#[target(decider = "…")]`.
fn decider(input: &DeriveInput) -> Result<LitStr> {
    let mut decider = None;
    for attribute in &input.attrs {
        if attribute.path().is_ident("target") {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("decider") {
                    return Err(meta.error("unknown key: there is `decider = \"…\"`"));
                }
                let name: LitStr = meta.value()?.parse()?;
                check_decider_name(&name)?;
                if decider.replace(name).is_some() {
                    return Err(meta.error("`decider` is given twice"));
                }
                Ok(())
            })?;
        }
    }
    decider.ok_or_else(|| {
        let message = "the commands need their decider: `#[target(decider = \"order\")]`";
        Error::new(Span::call_site(), message)
    })
}
