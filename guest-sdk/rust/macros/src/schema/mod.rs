//! `#[derive(JsonSchema)]`: the schema of what serde makes of a type, as text that is complete but
//! for the fields' types.

mod data;
mod enums;
mod indexes;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, GenericParam, Generics, Lit, LitStr, Meta,
    Result, Type, parse_quote,
};

use crate::serde_attributes::{Key, keys, text_of};
use data::Shape;

/// The `#[serde(…)]` attributes of the type itself.
struct Container {
    keys: Vec<Key>,
    rename_all: Option<LitStr>,
    description: String,
    open: bool,
}

impl Container {
    fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known.is(key))
    }

    /// The members that begin the schema of an object, `open` or not, each followed by a comma.
    fn members(&self, description: &str, open: bool) -> String {
        let additional = if self.has("deny_unknown_fields") {
            "\"additionalProperties\":false,"
        } else if self.open || open {
            "\"additionalProperties\":true,"
        } else {
            ""
        };
        description_member(description) + additional
    }
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let keys = keys(&input.attrs)?;
    let container = Container {
        rename_all: text_of(&keys, "rename_all")?,
        description: documentation(&input.attrs),
        open: is_open(&input.attrs)?,
        keys,
    };
    let (body, variants) = match (converted(&container)?, &input.data) {
        (Some(other), _) => (data::of_type(&other, &container.description), None),
        (None, Data::Struct(data)) => (structure(&container, &data.fields)?, None),
        (None, Data::Enum(data)) => enums::expand(&container, data)?,
        (None, Data::Union(_)) => {
            return Err(Error::new_spanned(&input.ident, "a union has no JSON"));
        }
    };
    let is_object = converted(&container)?.is_none() && !container.has("transparent");
    let indexes = indexes::expand(&input.data, is_object, container.rename_all.as_ref())?;
    let ident = &input.ident;
    let name = ident.to_string();
    let generics = bounded(input.generics.clone());
    let (parameters, arguments, bounds) = generics.split_for_impl();
    let variants = variants.map(|variants| {
        quote! {
            impl #parameters ::gavel::schema::Variants for #ident #arguments #bounds {
                const VARIANTS: &'static [::gavel::schema::Variant] = &[#variants];
            }
        }
    });
    Ok(quote! {
        impl #parameters ::gavel::JsonSchema for #ident #arguments #bounds {
            #indexes

            fn schema(schema: &mut ::gavel::schema::SchemaWriter) {
                schema.define::<Self>(#name, |schema| { #body });
            }
        }

        #variants
    })
}

/// The type that serde reads instead.
fn converted(container: &Container) -> Result<Option<Type>> {
    let other = match text_of(&container.keys, "from")? {
        None => text_of(&container.keys, "try_from")?,
        from => from,
    };
    other.map(|other| other.parse()).transpose()
}

fn structure(container: &Container, fields: &syn::Fields) -> Result<TokenStream> {
    let shape = Shape::of(
        fields,
        container.rename_all.as_ref(),
        container.has("default"),
    )?;
    if let (Shape::Object(fields), true) = (&shape, container.has("transparent")) {
        return match fields.as_slice() {
            [field] => Ok(data::of_type(&field.r#type, &container.description)),
            _ => Err(Error::new_spanned(
                fields.first().map(|field| &field.r#type),
                "`transparent` takes one field",
            )),
        };
    }
    if matches!(shape, Shape::Unit) {
        let members = description_member(&container.description);
        let text = format!("{{{members}\"type\":\"null\"}}");
        return Ok(quote! { schema.raw(#text); });
    }
    Ok(shape.body(
        &container.members(&container.description, false),
        &container.description,
    ))
}

fn bounded(mut generics: Generics) -> Generics {
    for parameter in &mut generics.params {
        if let GenericParam::Type(parameter) = parameter {
            parameter.bounds.push(parse_quote!(::gavel::JsonSchema));
        }
    }
    generics
}

/// Tells whether a type or variant has the attribute `#[schema(open)]`.
fn is_open(attributes: &[Attribute]) -> Result<bool> {
    let mut open = false;
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("schema"))
    {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("open") {
                return Err(meta.error("unknown key: there is `open`"));
            }
            open = true;
            Ok(())
        })?;
    }
    Ok(open)
}

/// A doc comment: its lines joined to paragraphs.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(line),
                    ..
                }) => Some(line.value()),
                _ => None,
            },
            _ => None,
        });
    let mut text = String::new();
    for line in lines {
        let line = line.trim();
        text.push_str(
            match (line.is_empty(), text.is_empty() || text.ends_with('\n')) {
                (true, false) => "\n\n",
                (false, false) => " ",
                (_, true) => "",
            },
        );
        text.push_str(line);
    }
    text.trim_end().to_owned()
}

/// `"description":"…",`, or nothing.
fn description_member(description: &str) -> String {
    if description.is_empty() {
        String::new()
    } else {
        format!("\"description\":{},", json(description))
    }
}

/// `text` as JSON.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
