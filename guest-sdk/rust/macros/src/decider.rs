//! `#[decider]`: an `impl Decider` block becomes a module.

use std::collections::HashSet;
use std::path::PathBuf;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, ItemImpl, LitStr, Result, Token};

use crate::case;
use crate::specs::Specs;

/// `name = "…"` and `specs = "…"` or `specs = ["…", "…"]`.
#[derive(Default)]
struct Arguments {
    name: Option<LitStr>,
    specs: Vec<LitStr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            arguments.parse_one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn parse_one(&mut self, input: ParseStream<'_>) -> Result<()> {
        let key: Ident = input.parse()?;
        input.parse::<Token![=]>()?;
        let known = match key.to_string().as_str() {
            "name" => self.name.replace(input.parse()?).is_some(),
            "specs" if input.peek(syn::token::Bracket) => {
                let files;
                syn::bracketed!(files in input);
                let files = Punctuated::<LitStr, Token![,]>::parse_terminated(&files)?;
                !std::mem::replace(&mut self.specs, files.into_iter().collect()).is_empty()
            }
            "specs" => !std::mem::replace(&mut self.specs, vec![input.parse()?]).is_empty(),
            other => {
                return Err(Error::new(
                    key.span(),
                    format!("unknown key `{other}`: there are `name` and `specs`"),
                ));
            }
        };
        if known {
            Err(Error::new(key.span(), format!("`{key}` is given twice")))
        } else {
            Ok(())
        }
    }
}

/// The host's rule for names, so that a module it would refuse does not compile.
fn check_name(name: &LitStr) -> Result<()> {
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

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Arguments { name, specs } = syn::parse2(arguments)?;
    let missing = || {
        Error::new(
            Span::call_site(),
            "the decider needs a name: `#[decider(name = \"account\")]`",
        )
    };
    let name = name.ok_or_else(missing)?;
    check_name(&name)?;
    let block = syn::parse2::<ItemImpl>(item.clone())
        .ok()
        .filter(|block| block.trait_.is_some())
        .ok_or_else(|| {
            Error::new_spanned(
                &item,
                "`#[decider]` belongs on an `impl Decider for …` block",
            )
        })?;
    if !block.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &block.generics,
            "a component runs one concrete decider: it cannot be generic",
        ));
    }
    let state = &block.self_ty;
    let EmbeddedSpecs {
        json,
        dependencies,
        titles,
    } = EmbeddedSpecs::read(&specs)?;
    let tests = tests(state, &name, &titles);

    Ok(quote! {
        #block

        impl ::gavel::Module for #state {
            const NAME: &'static str = #name;
            const SPECS: &'static str = #json;
            const EVENTS: ::gavel::__private::EventTable<Self::Event> = {
                #[allow(unused_imports, reason = "a type with its own facts needs no others")]
                use ::gavel::__private::PlainEvents as _;
                <::gavel::__private::EventProbe<<#state as ::gavel::Decider>::Event>>::TABLE
            };
        }

        #dependencies

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type __Component = ::gavel::__private::Component<#state>;
            ::gavel::__private::__export_component!(__Component with_types_in ::gavel::__private::bindings);
        };

        #tests
    })
}

/// The parts of the expansion that come from the specifications' files.
struct EmbeddedSpecs {
    json: String,
    /// Makes cargo build again when a file changes.
    dependencies: TokenStream,
    titles: Vec<String>,
}

impl EmbeddedSpecs {
    fn read(files: &[LitStr]) -> Result<Self> {
        let mut specs = Specs::default();
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
}

/// One test for each specification.
fn tests(state: &syn::Type, name: &LitStr, titles: &[String]) -> TokenStream {
    let mut taken = HashSet::new();
    let specs = titles.iter().enumerate().map(|(index, title)| {
        let mut identifier = case::identifier(title);
        if !taken.insert(identifier.clone()) {
            identifier = format!("{identifier}_{index}");
        }
        let identifier = format_ident!("{identifier}");
        quote! {
            #[test]
            fn #identifier() {
                ::gavel::__private::assert_spec::<#state>(#index);
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
