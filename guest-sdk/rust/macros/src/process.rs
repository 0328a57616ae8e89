//! `#[process]`: an `impl Process`, an `impl Saga` or an `impl Workflow` block becomes a module.

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

const WORKFLOW: Kind = Kind {
    r#trait: "Workflow",
    ..PROCESS
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

impl ProcessKeys {
    fn refuse_accepted(&self, message: &str) -> Result<()> {
        match &self.accepted {
            Some(accepted) => Err(Error::new(accepted.span, message)),
            None => Ok(()),
        }
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

/// The parts of the expansion that differ between the traits.
struct Rules {
    adapter: TokenStream,
    accepted: bool,
    keys: Keys,
}

impl Rules {
    fn of_process(arguments: &ProcessKeys, block: &mut ItemImpl) -> Result<Self> {
        Ok(Self {
            adapter: quote!(Stateful<Self>),
            accepted: arguments.accepted.as_ref().is_some_and(LitBool::value),
            keys: Keys::of(&PROCESS, arguments.key.as_ref(), block)?,
        })
    }

    fn of_workflow(arguments: &ProcessKeys, block: &mut ItemImpl) -> Result<Self> {
        let message = "a workflow learns of all its commands: leave `accepted` out";
        arguments.refuse_accepted(message)?;
        Ok(Self {
            adapter: quote!(Stateful<::gavel::Flow<Self>>),
            accepted: true,
            keys: Keys::of(&WORKFLOW, arguments.key.as_ref(), block)?,
        })
    }

    fn of_saga(arguments: &ProcessKeys) -> Result<Self> {
        if let Some(key) = &arguments.key {
            let message =
                "an instance of a saga is one event, whose id is the key: leave `key` out";
            return Err(key.error(message));
        }
        let message = "a saga does not learn of its commands: leave `accepted` out";
        arguments.refuse_accepted(message)?;
        Ok(Self {
            adapter: quote!(Stateless<Self>),
            accepted: false,
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
    let r#trait = block
        .trait_
        .as_ref()
        .and_then(|(_, path, _)| path.segments.last())
        .map(|last| last.ident.to_string());
    let own = &arguments.own;
    let Rules {
        adapter,
        accepted,
        keys,
    } = match r#trait.as_deref() {
        Some("Saga") => Rules::of_saga(own)?,
        Some("Workflow") => Rules::of_workflow(own, &mut block)?,
        _ => Rules::of_process(own, &mut block)?,
    };
    let (origin, sources, exported_sources) = (&keys.origin, &keys.sources, keys.export());
    let targets = own.sends.iter().flatten();
    let process = &block.self_ty;

    Ok(quote! {
        #block

        impl ::gavel::ProcessModule for #process {
            type Rules = ::gavel::__private::#adapter;
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
