//! `#[derive(Event)]`.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Data, DeriveInput, Error, Fields, Ident, LitInt, Path, Result, Token, Variant};

use crate::serde_attributes;

/// The facts that `#[event(…)]` gives of one variant.
#[derive(Default)]
struct Facts {
    is_final: bool,
    tags: Vec<Tag>,
    version: Option<(u32, Span)>,
    upcasts: Vec<Step>,
}

/// `key`, or `key = field`.
struct Tag {
    key: Ident,
    field: Ident,
}

/// `1 = function`.
struct Step {
    from: LitInt,
    function: Path,
}

impl Parse for Tag {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key: Ident = input.parse()?;
        let renamed = input.parse::<Option<Token![=]>>()?.is_some();
        Ok(Self {
            field: if renamed { input.parse()? } else { key.clone() },
            key,
        })
    }
}

impl Parse for Step {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let from = input.parse()?;
        input.parse::<Token![=]>()?;
        Ok(Self {
            from,
            function: input.parse()?,
        })
    }
}

fn list<T: Parse>(meta: &ParseNestedMeta<'_>) -> Result<Vec<T>> {
    let content;
    syn::parenthesized!(content in meta.input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&content)?
        .into_iter()
        .collect())
}

impl Facts {
    fn of(variant: &Variant) -> Result<Self> {
        let mut facts = Self::default();
        for attribute in variant
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("event"))
        {
            attribute.parse_nested_meta(|meta| facts.read(&meta))?;
        }
        facts.check(variant)?;
        Ok(facts)
    }

    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("final") {
            self.is_final = true;
        } else if meta.path.is_ident("tags") {
            self.tags.extend(list::<Tag>(meta)?);
        } else if meta.path.is_ident("version") {
            let version: LitInt = meta.value()?.parse()?;
            self.version = Some((version.base10_parse()?, version.span()));
        } else if meta.path.is_ident("upcast") {
            self.upcasts.extend(list::<Step>(meta)?);
        } else {
            return Err(meta.error(
                "unknown key: there are `final`, `tags(…)`, `version = …` and `upcast(…)`",
            ));
        }
        Ok(())
    }

    /// Checks that the upcasters are exactly one step from each version below the current one.
    fn check(&self, variant: &Variant) -> Result<()> {
        if let (Some(tag), false) = (
            self.tags.first(),
            matches!(variant.fields, Fields::Named(_)),
        ) {
            return Err(Error::new(
                tag.key.span(),
                "tags are made from named fields",
            ));
        }
        let (version, span) = self.version.unwrap_or((1, variant.ident.span()));
        if version == 0 {
            return Err(Error::new(span, "the first schema version is 1"));
        }
        let mut expected = 1..version;
        for step in &self.upcasts {
            match expected.next() {
                Some(next) if step.from.base10_parse::<u32>()? == next => {}
                Some(next) => {
                    return Err(Error::new(
                        step.from.span(),
                        format!("the upcaster from version {next} is due here"),
                    ));
                }
                None => {
                    return Err(Error::new(
                        step.from.span(),
                        format!("version {version} is current: nothing comes after it"),
                    ));
                }
            }
        }
        match expected.next() {
            Some(missing) => Err(Error::new(
                span,
                format!("there is no upcaster from version {missing}"),
            )),
            None => Ok(()),
        }
    }
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "events are an enum with one variant for each",
        ));
    };
    let keys = serde_attributes::keys(&input.attrs)?;
    let rename_all = serde_attributes::text_of(&keys, "rename_all")?;
    let (mut upcasts, mut finals, mut tags) = (Vec::new(), Vec::new(), Vec::new());
    for variant in &data.variants {
        let facts = Facts::of(variant)?;
        let ident = &variant.ident;
        if facts.is_final {
            finals.push(quote! { Self::#ident { .. } => true, });
        }
        if !facts.tags.is_empty() {
            let fields: BTreeSet<&Ident> = facts.tags.iter().map(|tag| &tag.field).collect();
            let fields = fields.iter();
            let texts = facts.tags.iter().map(|Tag { key, field }| {
                let key = key.to_string();
                quote_spanned! { field.span() => ::std::format!("{}:{}", #key, #field) }
            });
            tags.push(quote! { Self::#ident { #(#fields,)* .. } => ::std::vec![#(#texts),*], });
        }
        if !facts.upcasts.is_empty() {
            let keys = serde_attributes::keys(&variant.attrs)?;
            let name = serde_attributes::variant_name(ident, &keys, rename_all.as_ref())?;
            upcasts.extend(facts.upcasts.iter().map(|Step { from, function }| {
                quote! {
                    ::gavel::Upcast {
                        name: #name,
                        from: #from,
                        apply: |data| ::gavel::__private::apply_upcaster(#function, data),
                        schema: |schema| ::gavel::__private::upcaster_schema(#function, schema),
                    }
                }
            }));
        }
    }
    let ident = &input.ident;
    Ok(quote! {
        impl ::gavel::Event for #ident {
            const UPCASTS: &'static [::gavel::Upcast] = &[#(#upcasts),*];

            fn is_final(&self) -> bool {
                #[allow(unreachable_patterns, reason = "every variant may have an arm")]
                match self {
                    #(#finals)*
                    _ => false,
                }
            }

            fn tags(&self) -> ::std::vec::Vec<::std::string::String> {
                #[allow(unreachable_patterns, reason = "every variant may have an arm")]
                match self {
                    #(#tags)*
                    _ => ::std::vec::Vec::new(),
                }
            }
        }
    })
}
