//! The schema of an enum, in each of serde's representations.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataEnum, LitStr, Result};

use super::data::{Shape, field, object};
use super::{Container, description_member, documentation, is_open, json};
use crate::serde_attributes::{keys, text_of, variant_name};

struct Variant {
    name: String,
    description: String,
    open: bool,
    shape: Shape,
}

/// Statements that write the enum's schema, and, in the default representation, the table of its
/// variants.
pub(super) fn expand(
    container: &Container,
    data: &DataEnum,
) -> Result<(TokenStream, Option<TokenStream>)> {
    let variants: Vec<Variant> = variants(container, data)?;
    let tag = text_of(&container.keys, "tag")?;
    let content = text_of(&container.keys, "content")?;
    let (keyword, members) = match (&tag, &content) {
        _ if container.has("untagged") => (
            "anyOf",
            each(&variants, |variant| untagged(container, variant)),
        ),
        (Some(tag), Some(content)) => (
            "oneOf",
            each(&variants, |variant| {
                adjacent(container, variant, tag, content)
            }),
        ),
        (Some(tag), None) => (
            "oneOf",
            each(&variants, |variant| internal(container, variant, tag)),
        ),
        (None, _) => {
            return Ok((
                external(container, &variants),
                Some(table(container, &variants)),
            ));
        }
    };
    Ok((alternatives(container, keyword, &members), None))
}

fn variants(container: &Container, data: &DataEnum) -> Result<Vec<Variant>> {
    let rename_all_fields = text_of(&container.keys, "rename_all_fields")?;
    let mut variants = Vec::new();
    for variant in &data.variants {
        let keys = keys(&variant.attrs)?;
        if keys
            .iter()
            .any(|key| key.is_one_of(&["skip", "skip_deserializing"]))
        {
            continue;
        }
        if let Some(key) = keys
            .iter()
            .find(|key| key.is_one_of(&["with", "deserialize_with", "other", "untagged"]))
        {
            return Err(key.error("there is no schema for such a variant"));
        }
        let rename_all = text_of(&keys, "rename_all")?.or_else(|| rename_all_fields.clone());
        variants.push(Variant {
            name: variant_name(&variant.ident, &keys, container.rename_all.as_ref())?,
            description: documentation(&variant.attrs),
            open: is_open(&variant.attrs)?,
            shape: Shape::of(&variant.fields, rename_all.as_ref(), false)?,
        });
    }
    Ok(variants)
}

fn each(variants: &[Variant], write: impl Fn(&Variant) -> TokenStream) -> Vec<TokenStream> {
    variants.iter().map(write).collect()
}

/// A schema that holds where one of `members` does.
fn alternatives(container: &Container, keyword: &str, members: &[TokenStream]) -> TokenStream {
    let open = format!(
        "{{{}\"{keyword}\":[",
        description_member(&container.description)
    );
    let mut members = members.iter();
    let first = members.next();
    quote! {
        schema.raw(#open);
        #first
        #(schema.raw(","); #members)*
        schema.raw("]}");
    }
}

/// The table of the variants, each with the schema of its data alone.
fn table(container: &Container, variants: &[Variant]) -> TokenStream {
    let entries = each(variants, |variant| {
        let name = &variant.name;
        let body = variant.data(container);
        quote! { ::gavel::schema::Variant { name: #name, schema: |schema| { #body } } }
    });
    quote! { #(#entries),* }
}

impl Variant {
    fn data(&self, container: &Container) -> TokenStream {
        let members = container.members(&self.description, self.open);
        self.shape.body(&members, &self.description)
    }
}

/// `"Name"`, or `{"Name": data}`.
fn external(container: &Container, variants: &[Variant]) -> TokenStream {
    let is_plain =
        |variant: &&Variant| matches!(variant.shape, Shape::Unit) && variant.description.is_empty();
    let plain: Vec<String> = variants
        .iter()
        .filter(is_plain)
        .map(|variant| json(&variant.name))
        .collect();
    let names = format!("\"type\":\"string\",\"enum\":[{}]", plain.join(","));
    if plain.len() == variants.len() {
        let text = format!("{{{}{names}}}", description_member(&container.description));
        return quote! { schema.raw(#text); };
    }
    let mut members = Vec::new();
    if !plain.is_empty() {
        let text = format!("{{{names}}}");
        members.push(quote! { schema.raw(#text); });
    }
    members.extend(
        variants
            .iter()
            .filter(|variant| !is_plain(variant))
            .map(|variant| {
                let name = json(&variant.name);
                if matches!(variant.shape, Shape::Unit) {
                    let text = format!(
                        "{{{}\"const\":{name}}}",
                        description_member(&variant.description)
                    );
                    return quote! { schema.raw(#text); };
                }
                let open = format!("{{\"type\":\"object\",\"properties\":{{{name}:");
                let close = format!("}},\"required\":[{name}],\"additionalProperties\":false}}");
                let data = variant.data(container);
                quote! {
                    schema.raw(#open);
                    #data
                    schema.raw(#close);
                }
            }),
    );
    alternatives(container, "oneOf", &members)
}

/// The field that holds the variant's name.
fn tag_field(tag: &LitStr, name: &str) -> TokenStream {
    let constant = format!("{{\"const\":{}}}", json(name));
    field(
        &tag.value(),
        "",
        &quote!(true),
        &quote!(|schema| schema.raw(#constant)),
    )
}

/// `{"tag": "Name", …data}`.
fn internal(container: &Container, variant: &Variant, tag: &LitStr) -> TokenStream {
    let mut fields = vec![tag_field(tag, &variant.name)];
    match &variant.shape {
        Shape::Unit => {}
        Shape::Object(own) => fields.extend(own.iter().map(super::data::Field::tokens)),
        Shape::Newtype(_) | Shape::Tuple(_) => {
            let data = variant.data(container);
            let tagged = object("", &fields);
            return quote! {
                schema.raw("{\"allOf\":[");
                #data
                schema.raw(",");
                #tagged
                schema.raw("]}");
            };
        }
    }
    object(
        &container.members(&variant.description, variant.open),
        &fields,
    )
}

/// `{"tag": "Name", "content": data}`.
fn adjacent(
    container: &Container,
    variant: &Variant,
    tag: &LitStr,
    content: &LitStr,
) -> TokenStream {
    let mut fields = vec![tag_field(tag, &variant.name)];
    if !matches!(variant.shape, Shape::Unit) {
        let data = variant.data(container);
        fields.push(field(
            &content.value(),
            "",
            &quote!(true),
            &quote!(|schema| { #data }),
        ));
    }
    object(
        &container.members(&variant.description, variant.open),
        &fields,
    )
}

/// `data` alone.
fn untagged(container: &Container, variant: &Variant) -> TokenStream {
    match variant.shape {
        Shape::Unit => quote! { schema.raw("{\"type\":\"null\"}"); },
        Shape::Newtype(_) | Shape::Tuple(_) | Shape::Object(_) => variant.data(container),
    }
}
