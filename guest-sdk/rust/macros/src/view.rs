//! `#[view]`: an `impl View` block becomes a module.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::{Error, LitStr, Result};

use crate::attribute::{Arguments, Kind, OwnKeys, block};
use crate::key::{KeyOrigin, Keys};
use crate::specs::ViewSpec;

const VIEW: Kind = Kind {
    attribute: "view",
    r#trait: "View",
    keys: "`name`, `key` and `specs`",
    has_specs: true,
    example: "#[view(name = \"orders\", key = stream_id)]",
};

/// The key `key = …`.
#[derive(Default)]
struct ViewKeys {
    key: Option<KeyOrigin>,
}

impl OwnKeys for ViewKeys {
    fn read(&mut self, key: &str, value: ParseStream<'_>) -> Option<Result<bool>> {
        (key == "key").then(|| Ok(self.key.replace(KeyOrigin::parse(value)?).is_some()))
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

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = Arguments::<ViewKeys>::parse(&VIEW, arguments)?;
    let name = arguments.name(&VIEW, check_name)?;
    let mut block = block(&VIEW, &item)?;
    let keys = Keys::of(&VIEW, arguments.own.key.as_ref(), &mut block)?;
    let (origin, sources, exported_sources) = (&keys.origin, &keys.sources, keys.export());
    let row = &block.self_ty;
    let specs = arguments.specs::<ViewSpec>()?;
    let (json, dependencies) = (&specs.json, &specs.dependencies);
    let tests = specs.tests(name, &quote!(::gavel::__private::assert_view_spec::<#row>));

    Ok(quote! {
        #block

        impl ::gavel::ViewModule for #row {
            const NAME: &'static str = #name;
            const SPECS: &'static str = #json;
            const KEY: ::gavel::__private::Key = ::gavel::__private::Key::#origin;
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
