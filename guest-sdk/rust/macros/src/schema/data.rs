//! The schema of the fields of a struct or variant.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Fields, LitStr, Result, Type};

use super::documentation;
use crate::serde_attributes::{Key, field_name, keys};

/// Keys that change the JSON in a way that the field's type does not tell.
const UNKNOWN_FORM: [&str; 3] = ["flatten", "with", "deserialize_with"];

pub(super) enum Shape {
    Unit,
    Newtype(Box<Type>),
    Tuple(Vec<Type>),
    Object(Vec<Field>),
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) r#type: Type,
    pub(super) description: String,
    pub(super) defaulted: bool,
}

impl Shape {
    pub(super) fn of(
        fields: &Fields,
        rename_all: Option<&LitStr>,
        defaulted: bool,
    ) -> Result<Self> {
        match fields {
            Fields::Unit => Ok(Self::Unit),
            Fields::Named(fields) => {
                let fields = fields
                    .named
                    .iter()
                    .map(|field| Field::of(field, rename_all, defaulted));
                Ok(Self::Object(
                    fields
                        .filter_map(Result::transpose)
                        .collect::<Result<_>>()?,
                ))
            }
            Fields::Unnamed(fields) => {
                let types = fields
                    .unnamed
                    .iter()
                    .map(|field| type_of(&field.attrs, &keys(&field.attrs)?, &field.ty));
                let mut types: Vec<Type> = types.collect::<Result<_>>()?;
                Ok(if types.len() == 1 {
                    Self::Newtype(Box::new(types.remove(0)))
                } else {
                    Self::Tuple(types)
                })
            }
        }
    }

    /// Statements that write the schema; `members` begin it if it is an object's.
    pub(super) fn body(&self, members: &str, description: &str) -> TokenStream {
        match self {
            Self::Unit => object(members, &[]),
            Self::Newtype(r#type) => of_type(r#type, description),
            Self::Tuple(types) => {
                let schemas = types.iter().map(schema_function);
                quote! {
                    schema.described(#description, |schema| schema.tuple(const { &[#(#schemas),*] }));
                }
            }
            Self::Object(fields) => object(
                members,
                &fields.iter().map(Field::tokens).collect::<Vec<_>>(),
            ),
        }
    }
}

impl Field {
    /// Reads a field; none for one that serde leaves out.
    fn of(
        field: &syn::Field,
        rename_all: Option<&LitStr>,
        defaulted: bool,
    ) -> Result<Option<Self>> {
        let keys = keys(&field.attrs)?;
        let Some(ident) = &field.ident else {
            return Ok(None);
        };
        if keys
            .iter()
            .any(|key| key.is_one_of(&["skip", "skip_deserializing"]))
        {
            return Ok(None);
        }
        Ok(Some(Self {
            name: field_name(ident, &keys, rename_all)?,
            r#type: type_of(&field.attrs, &keys, &field.ty)?,
            description: documentation(&field.attrs),
            defaulted: defaulted || keys.iter().any(|key| key.is("default")),
        }))
    }

    pub(super) fn tokens(&self) -> TokenStream {
        let Self {
            name,
            r#type,
            description,
            defaulted,
        } = self;
        let schema = schema_function(r#type);
        let required = if *defaulted {
            quote!(false)
        } else {
            quote!(!<#r#type as ::gavel::JsonSchema>::OPTIONAL)
        };
        field(name, description, &required, &schema)
    }
}

/// A field of `SchemaWriter::object`.
pub(super) fn field(
    name: &str,
    description: &str,
    required: &TokenStream,
    schema: &TokenStream,
) -> TokenStream {
    quote! {
        ::gavel::schema::Field { name: #name, description: #description, required: #required, schema: #schema }
    }
}

/// A statement that writes an object's schema.
pub(super) fn object(members: &str, fields: &[TokenStream]) -> TokenStream {
    quote! { schema.object(#members, const { &[#(#fields),*] }); }
}

/// A statement that writes the schema of `type`.
pub(super) fn of_type(r#type: &Type, description: &str) -> TokenStream {
    let schema = schema_function(r#type);
    quote! { schema.described(#description, #schema); }
}

/// The function that writes the schema of `type`; its span makes a missing one the type's fault.
fn schema_function(r#type: &Type) -> TokenStream {
    quote_spanned! { r#type.span() => <#r#type as ::gavel::JsonSchema>::schema }
}

/// The field's type, or the one in `#[schema(as = …)]`.
fn type_of(attributes: &[Attribute], keys: &[Key], declared: &Type) -> Result<Type> {
    let mut other = None;
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("schema"))
    {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("as") {
                return Err(meta.error("unknown key: there is `as = Type`"));
            }
            other = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    match (other, keys.iter().find(|key| key.is_one_of(&UNKNOWN_FORM))) {
        (Some(other), _) => Ok(other),
        (None, None) => Ok(declared.clone()),
        (None, Some(key)) => {
            Err(key.error("the JSON is not that of the field's type: name a type that has the same with `#[schema(as = Type)]`"))
        }
    }
}
