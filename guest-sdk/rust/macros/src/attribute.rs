//! The part of an attribute that modules of every kind have: their name, their specifications, and
//! the block that it stands on.

use std::collections::HashSet;
use std::path::PathBuf;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, ItemImpl, LitStr, Result, Token, token};

use crate::case;
use crate::specs::{Form, Specs};

/// A kind of module.
pub(crate) struct Kind {
    /// The name of the attribute.
    pub(crate) attribute: &'static str,
    /// The name of the trait.
    pub(crate) r#trait: &'static str,
    /// The keys of the attribute, for people.
    pub(crate) keys: &'static str,
    /// True if the attribute has `specs`.
    pub(crate) has_specs: bool,
    /// The attribute with a name, for people.
    pub(crate) example: &'static str,
}

/// The keys of an attribute: `name = "…"`, `specs = "…"` or `specs = ["…", "…"]`, and those of the
/// kind.
pub(crate) struct Arguments<Own> {
    name: Option<LitStr>,
    specs: Vec<LitStr>,
    pub(crate) own: Own,
}

/// The keys of one kind of module.
pub(crate) trait OwnKeys: Default {
    /// Reads the value of `key`: tells whether there was one before, or none if there is no such
    /// key.
    fn read(&mut self, key: &str, value: ParseStream<'_>) -> Option<Result<bool>>;
}

/// A kind without keys of its own.
impl OwnKeys for () {
    fn read(&mut self, _: &str, _: ParseStream<'_>) -> Option<Result<bool>> {
        None
    }
}

impl<Own: OwnKeys> Arguments<Own> {
    pub(crate) fn parse(kind: &Kind, arguments: TokenStream) -> Result<Self> {
        let read = |input: ParseStream<'_>| {
            let mut arguments = Self {
                name: None,
                specs: Vec::new(),
                own: Own::default(),
            };
            while !input.is_empty() {
                arguments.parse_one(kind, input)?;
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(arguments)
        };
        read.parse2(arguments)
    }

    fn parse_one(&mut self, kind: &Kind, input: ParseStream<'_>) -> Result<()> {
        let key: Ident = input.parse()?;
        // A key of the kind may be a list in parentheses.
        if !input.peek(token::Paren) {
            input.parse::<Token![=]>()?;
        }
        let known = match key.to_string().as_str() {
            "name" => self.name.replace(input.parse()?).is_some(),
            "specs" if kind.has_specs && input.peek(token::Bracket) => {
                let files;
                syn::bracketed!(files in input);
                let files = Punctuated::<LitStr, Token![,]>::parse_terminated(&files)?;
                !std::mem::replace(&mut self.specs, files.into_iter().collect()).is_empty()
            }
            "specs" if kind.has_specs => {
                !std::mem::replace(&mut self.specs, vec![input.parse()?]).is_empty()
            }
            other => self.own.read(other, input).unwrap_or_else(|| {
                let message = format!("unknown key `{other}`: there are {}", kind.keys);
                Err(Error::new(key.span(), message))
            })?,
        };
        if known {
            Err(Error::new(key.span(), format!("`{key}` is given twice")))
        } else {
            Ok(())
        }
    }

    /// The name, which `check` has to like.
    pub(crate) fn name(&self, kind: &Kind, check: fn(&LitStr) -> Result<()>) -> Result<&LitStr> {
        let missing = || {
            let message = format!("the {} needs a name: `{}`", kind.attribute, kind.example);
            Error::new(Span::call_site(), message)
        };
        let name = self.name.as_ref().ok_or_else(missing)?;
        check(name)?;
        Ok(name)
    }

    pub(crate) fn specs<Spec: Form>(&self) -> Result<EmbeddedSpecs> {
        EmbeddedSpecs::read::<Spec>(&self.specs)
    }
}

/// The block that the attribute stands on.
pub(crate) fn block(kind: &Kind, item: &TokenStream) -> Result<ItemImpl> {
    let Kind {
        attribute, r#trait, ..
    } = kind;
    let block = syn::parse2::<ItemImpl>(item.clone())
        .ok()
        .filter(|block| block.trait_.is_some())
        .ok_or_else(|| {
            let message = format!("`#[{attribute}]` belongs on an `impl {trait} for …` block");
            Error::new_spanned(item, message)
        })?;
    if !block.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &block.generics,
            format!("a component runs one concrete {attribute}: it cannot be generic"),
        ));
    }
    Ok(block)
}

/// The host's rule for names of deciders, so that a module it would refuse does not compile.
pub(crate) fn check_decider_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let goes_on_well = text
        .chars()
        .all(|next| next.is_ascii_alphanumeric() || next == '_' || next == '-');
    if starts_well && goes_on_well && text.len() <= 128 {
        return Ok(());
    }
    Err(Error::new(
        name.span(),
        "a decider's name is a letter, then up to 127 letters, digits, `_` or `-`",
    ))
}

/// The parts of the expansion that come from the specifications' files.
pub(crate) struct EmbeddedSpecs {
    pub(crate) json: String,
    /// Makes cargo build again when a file changes.
    pub(crate) dependencies: TokenStream,
    titles: Vec<String>,
}

impl EmbeddedSpecs {
    fn read<Spec: Form>(files: &[LitStr]) -> Result<Self> {
        let mut specs = Specs::<Spec>::default();
        for file in files {
            let wrong = |message: String| Error::new(file.span(), message);
            #[expect(
                clippy::disallowed_methods,
                reason = "cargo's way to tell a macro where the author's crate is"
            )]
            let root =
                std::env::var("CARGO_MANIFEST_DIR").map_err(|error| wrong(error.to_string()))?;
            specs
                .read(&PathBuf::from(root), &file.value())
                .map_err(wrong)?;
        }
        Ok(Self {
            json: specs
                .to_json()
                .map_err(|error| Error::new(Span::call_site(), error))?,
            dependencies: quote! {
                #(const _: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", #files));)*
            },
            titles: specs.titles().map(str::to_owned).collect(),
        })
    }

    /// One test for each specification: `assertion` of its place.
    pub(crate) fn tests(&self, name: &LitStr, assertion: &TokenStream) -> TokenStream {
        let mut taken = HashSet::new();
        let specs = self.titles.iter().enumerate().map(|(index, title)| {
            let mut identifier = case::identifier(title);
            if !taken.insert(identifier.clone()) {
                identifier = format!("{identifier}_{index}");
            }
            let identifier = format_ident!("{identifier}");
            quote! {
                #[test]
                fn #identifier() {
                    #assertion(#index);
                }
            }
        });
        let module = format_ident!("{}_specs", case::identifier(&name.value()));
        quote! {
            #[cfg(test)]
            mod #module {
                use super::*;

                #(#specs)*
            }
        }
    }
}
