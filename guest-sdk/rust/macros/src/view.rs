//! `#[view]`: an `impl View` block becomes a module.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::ParseStream;
use syn::{Error, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Result, parse_quote};

use crate::attribute::{Arguments, Kind, OwnKeys, block};
use crate::specs::ViewSpec;

const VIEW: Kind = Kind {
    attribute: "view",
    r#trait: "View",
    keys: "`name`, `key` and `specs`",
    example: "#[view(name = \"orders\", key = stream_id)]",
};

const NO_KEYS: &str = "the view needs its keys: `key = stream_id` or `key = tag(\"…\")` in the attribute, or `fn keys` in the block";

/// The longest key of a tag, in bytes (inclusive): a tag has 255, of which one is the `:` and one
/// at least is the value.
const LONGEST_TAG_KEY: usize = 253;

const TAG_KEY: &str =
    "a tag's key is what stands before the `:` in `order:o-1`: 1 to 253 bytes, without that `:`";

/// The key `key = …`.
#[derive(Default)]
struct ViewKeys {
    key: Option<KeyOrigin>,
}

/// The origin of keys that the author leaves to the SDK.
enum KeyOrigin {
    StreamId,
    Tag(LitStr),
}

impl OwnKeys for ViewKeys {
    fn read(&mut self, key: &str, value: ParseStream<'_>) -> Option<Result<bool>> {
        (key == "key").then(|| Ok(self.key.replace(KeyOrigin::parse(value)?).is_some()))
    }
}

impl KeyOrigin {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let origin: Ident = input.parse()?;
        match origin.to_string().as_str() {
            "stream_id" => Ok(Self::StreamId),
            "tag" => {
                let content;
                syn::parenthesized!(content in input);
                let tag: LitStr = content.parse()?;
                let key = tag.value();
                if key.is_empty() || key.ends_with(':') || key.len() > LONGEST_TAG_KEY {
                    return Err(Error::new(tag.span(), TAG_KEY));
                }
                Ok(Self::Tag(tag))
            }
            _ => Err(Error::new(
                origin.span(),
                "a key is `stream_id` or `tag(\"…\")`; any other is written by hand, as `fn keys` in the block",
            )),
        }
    }
}

/// The host's rule for names of views, so that a module it would refuse does not compile.
fn check_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase());
    let goes_on_well = text.chars().all(|next| {
        next.is_ascii_lowercase() || next.is_ascii_digit() || next == '_' || next == '-'
    });
    if starts_well && goes_on_well && text.len() <= 63 {
        return Ok(());
    }
    Err(Error::new(
        name.span(),
        "a view's name is a lower-case letter, then up to 62 lower-case letters, digits, `_` or `-`",
    ))
}

/// Takes the function called `name` out of the block.
fn take_function(block: &mut ItemImpl, name: &str) -> Option<ImplItemFn> {
    let is_it = |item: &ImplItem| matches!(item, ImplItem::Fn(f) if f.sig.ident == name);
    let place = block.items.iter().position(is_it)?;
    match block.items.remove(place) {
        ImplItem::Fn(function) => Some(function),
        _ => None,
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = Arguments::<ViewKeys>::parse(&VIEW, arguments)?;
    let name = arguments.name(&VIEW, check_name)?;
    let mut block = block(&VIEW, &item)?;
    let by_hand = take_function(&mut block, "keys");
    let mut sources = take_function(&mut block, "sources");
    let key = match (&arguments.own.key, by_hand) {
        (None, None) => return Err(Error::new(Span::call_site(), NO_KEYS)),
        (None, Some(function)) => {
            block.items.push(ImplItem::Fn(function));
            quote!(ByHand)
        }
        (Some(origin), None) => {
            if let Some(function) = sources {
                let message = "`sources` follows from `key = …`: leave one of them out";
                return Err(Error::new(function.sig.ident.span(), message));
            }
            block.items.push(parse_quote! {
                fn keys(
                    event: &::gavel::Recorded<Self::Event>,
                ) -> ::std::vec::Vec<::std::string::String> {
                    <Self as ::gavel::ViewModule>::KEY.of(event).unwrap_or_default()
                }
            });
            sources = Some(parse_quote! {
                fn sources(key: &str) -> ::std::vec::Vec<::gavel::QueryItem> {
                    <Self as ::gavel::ViewModule>::KEY
                        .sources::<<Self as ::gavel::View>::Event>(key)
                }
            });
            match origin {
                KeyOrigin::StreamId => quote!(StreamId),
                KeyOrigin::Tag(tag) => quote!(Tag(#tag)),
            }
        }
        (Some(_), Some(function)) => {
            let message = "`keys` follows from `key = …`: leave one of them out";
            return Err(Error::new(function.sig.ident.span(), message));
        }
    };
    let row = &block.self_ty;
    let specs = arguments.specs::<ViewSpec>()?;
    let (json, dependencies) = (&specs.json, &specs.dependencies);
    let tests = specs.tests(name, &quote!(::gavel::__private::assert_view_spec::<#row>));
    let (sources, exported_sources) = sources
        .map(|function| {
            let implementation = quote! {
                impl ::gavel::Sources for #row {
                    #function
                }
            };
            let export = quote! {
                ::gavel::__private::__export_sources!(__Component with_types_in ::gavel::__private::sources_bindings);
            };
            (implementation, export)
        })
        .unzip();

    Ok(quote! {
        #block

        impl ::gavel::ViewModule for #row {
            const NAME: &'static str = #name;
            const SPECS: &'static str = #json;
            const KEY: ::gavel::__private::Key = ::gavel::__private::Key::#key;
        }

        #sources

        #dependencies

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type __Component = ::gavel::__private::ViewComponent<#row>;
            ::gavel::__private::__export_view!(__Component with_types_in ::gavel::__private::view_bindings);
            #exported_sources
        };

        #tests
    })
}
