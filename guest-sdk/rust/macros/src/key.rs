//! The keys of a module: `key = …` in the attribute, or functions in the block.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::ParseStream;
use syn::{Error, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Result, parse_quote};

use crate::attribute::Kind;

/// The longest key of a tag, in bytes (inclusive): a tag has 255, of which one is the `:` and one
/// at least is the value.
const LONGEST_TAG_KEY: usize = 253;

const TAG_KEY: &str =
    "a tag's key is what stands before the `:` in `order:o-1`: 1 to 253 bytes, without that `:`";

/// The origin of keys that the author leaves to the SDK.
pub(crate) enum KeyOrigin {
    StreamId(Ident),
    Tag(LitStr),
}

impl KeyOrigin {
    pub(crate) fn parse(input: ParseStream<'_>) -> Result<Self> {
        let origin: Ident = input.parse()?;
        match origin.to_string().as_str() {
            "stream_id" => Ok(Self::StreamId(origin)),
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

    /// An error that points at the key.
    pub(crate) fn error(&self, message: &str) -> Error {
        let span = match self {
            Self::StreamId(ident) => ident.span(),
            Self::Tag(tag) => tag.span(),
        };
        Error::new(span, message)
    }
}

/// The parts of the expansion that say the keys of events, and the events of keys.
pub(crate) struct Keys {
    /// The variant of the SDK's `Key`.
    pub(crate) origin: TokenStream,
    /// The implementation of `Sources`, where it follows from the key or is in the block.
    pub(crate) sources: Option<TokenStream>,
}

impl Keys {
    /// Completes the block with `keys`, unless they are there, and takes `sources` out of it.
    pub(crate) fn of(
        kind: &Kind,
        origin: Option<&KeyOrigin>,
        block: &mut ItemImpl,
    ) -> Result<Self> {
        let by_hand = take_function(block, "keys");
        let mut sources = take_function(block, "sources");
        let origin = match (origin, by_hand) {
            (None, None) => {
                let message = format!(
                    "the {} needs its keys: `key = stream_id` or `key = tag(\"…\")` in the attribute, or `fn keys` in the block",
                    kind.attribute
                );
                return Err(Error::new(Span::call_site(), message));
            }
            (None, Some(function)) => {
                block.items.push(ImplItem::Fn(function));
                quote!(ByHand)
            }
            (Some(origin), None) => {
                if let Some(function) = sources {
                    let message = "`sources` follows from `key = …`: leave one of them out";
                    return Err(Error::new(function.sig.ident.span(), message));
                }
                let r#trait = format_ident!("{}", kind.r#trait);
                let origin = match origin {
                    KeyOrigin::StreamId(_) => quote!(StreamId),
                    KeyOrigin::Tag(tag) => quote!(Tag(#tag)),
                };
                block.items.push(parse_quote! {
                    fn keys(
                        event: &::gavel::Recorded<Self::Event>,
                    ) -> ::std::vec::Vec<::std::string::String> {
                        ::gavel::__private::Key::#origin.of(event).unwrap_or_default()
                    }
                });
                sources = Some(parse_quote! {
                    fn sources(key: &str) -> ::std::vec::Vec<::gavel::QueryItem> {
                        ::gavel::__private::Key::#origin
                            .sources::<<Self as ::gavel::#r#trait>::Event>(key)
                    }
                });
                origin
            }
            (Some(_), Some(function)) => {
                let message = "`keys` follows from `key = …`: leave one of them out";
                return Err(Error::new(function.sig.ident.span(), message));
            }
        };
        let module = &block.self_ty;
        let sources = sources.map(|function| {
            quote! {
                impl ::gavel::Sources for #module {
                    #function
                }
            }
        });
        Ok(Self { origin, sources })
    }

    /// The export of the sources of the `__Component` beside it.
    pub(crate) fn export(&self) -> Option<TokenStream> {
        self.sources.as_ref().map(|_| {
            quote! {
                ::gavel::__private::__export_sources!(__Component with_types_in ::gavel::__private::sources_bindings);
            }
        })
    }
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
