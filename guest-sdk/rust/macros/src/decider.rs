//! `#[decider]`: an `impl Decider` block becomes a module.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Result;

use crate::attribute::{Arguments, Kind, block, check_decider_name};
use crate::specs::DeciderSpec;

const DECIDER: Kind = Kind {
    attribute: "decider",
    r#trait: "Decider",
    keys: "`name` and `specs`",
    has_specs: true,
    example: "#[decider(name = \"account\")]",
};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = Arguments::<()>::parse(&DECIDER, arguments)?;
    let name = arguments.name(&DECIDER, check_decider_name)?;
    let block = block(&DECIDER, &item)?;
    let state = &block.self_ty;
    let specs = arguments.specs::<DeciderSpec>()?;
    let (json, dependencies) = (&specs.json, &specs.dependencies);
    let tests = specs.tests(name, &quote!(::gavel::__private::assert_spec::<#state>));

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
