//! `#[process]`: an `impl Process` or an `impl Saga` block becomes a module.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Error, ItemImpl, LitBool, LitStr, Path, Result, Token};

use crate::attribute::{Arguments, Kind, OwnKeys, block, check_decider_name};
use crate::key::{KeyOrigin, Keys};

const PROCESS: Kind = Kind {
    attribute: "process",
    r#trait: "Process",
    keys: "`name`, `key`, `sends` and `accepted`",
    has_specs: false,
    example: "#[process(name = \"billing\", key = stream_id, sends(OrderCommand))]",
};

/// The keys `key = …`, `sends(…)` and `accepted = …`.
#[derive(Default)]
struct ProcessKeys {
    key: Option<KeyOrigin>,
    sends: Option<Vec<Path>>,
    accepted: Option<LitBool>,
}

impl OwnKeys for ProcessKeys {
    fn read(&mut self, key: &str, value: ParseStream<'_>) -> Option<Result<bool>> {
        Some(match key {
            "key" => KeyOrigin::parse(value).map(|key| self.key.replace(key).is_some()),
            "sends" => types(value).map(|types| self.sends.replace(types).is_some()),
            "accepted" => value
                .parse()
                .map(|accepted| self.accepted.replace(accepted).is_some()),
            _ => return None,
        })
    }
}

/// The types in parentheses.
fn types(value: ParseStream<'_>) -> Result<Vec<Path>> {
    let content;
    syn::parenthesized!(content in value);
    let types =
        Punctuated::<Path, Token![,]>::parse_terminated_with(&content, Path::parse_mod_style)?;
    Ok(types.into_iter().collect())
}

/// The parts of the expansion in which a process and a saga differ.
struct Rules {
    adapter: TokenStream,
    keys: Keys,
}

impl Rules {
    fn of_process(arguments: &ProcessKeys, block: &mut ItemImpl) -> Result<Self> {
        Ok(Self {
            adapter: quote!(Stateful),
            keys: Keys::of(&PROCESS, arguments.key.as_ref(), block)?,
        })
    }

    fn of_saga(arguments: &ProcessKeys) -> Result<Self> {
        if let Some(key) = &arguments.key {
            let message =
                "an instance of a saga is one event, whose id is the key: leave `key` out";
            return Err(key.error(message));
        }
        if let Some(accepted) = &arguments.accepted {
            let message = "a saga does not learn of its commands: leave `accepted` out";
            return Err(Error::new(accepted.span, message));
        }
        Ok(Self {
            adapter: quote!(Stateless),
            keys: Keys {
                origin: quote!(EventId),
                sources: None,
            },
        })
    }
}

/// The host's rule for names of processes, which is that for names of deciders.
fn check_name(name: &LitStr) -> Result<()> {
    check_decider_name(name).map_err(|_| {
        Error::new(
            name.span(),
            "a process's name is a letter, then up to 127 letters, digits, `_` or `-`",
        )
    })
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = Arguments::<ProcessKeys>::parse(&PROCESS, arguments)?;
    let name = arguments.name(&PROCESS, check_name)?;
    let mut block = block(&PROCESS, &item)?;
    let is_saga = block
        .trait_
        .as_ref()
        .and_then(|(_, path, _)| path.segments.last())
        .is_some_and(|last| last.ident == "Saga");
    let ProcessKeys {
        sends, accepted, ..
    } = &arguments.own;
    let Rules { adapter, keys } = if is_saga {
        Rules::of_saga(&arguments.own)?
    } else {
        Rules::of_process(&arguments.own, &mut block)?
    };
    let (origin, sources, exported_sources) = (&keys.origin, &keys.sources, keys.export());
    let targets = sends.iter().flatten();
    let accepted = accepted.as_ref().is_some_and(LitBool::value);
    let process = &block.self_ty;

    Ok(quote! {
        #block

        impl ::gavel::ProcessModule for #process {
            type Rules = ::gavel::__private::#adapter<Self>;
            const NAME: &'static str = #name;
            const KEY: ::gavel::__private::Key = ::gavel::__private::Key::#origin;
            const SENDS: &'static [(&'static str, &'static [&'static str])] = &[
                #((
                    <#targets as ::gavel::Target>::DECIDER,
                    <#targets as ::gavel::Target>::COMMANDS,
                )),*
            ];
            const ACCEPTED: bool = #accepted;
        }

        #sources

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type __Component = ::gavel::__private::ProcessComponent<#process>;
            ::gavel::__private::__export_process!(__Component with_types_in ::gavel::__private::process_bindings);
            #exported_sources
        };
    })
}
