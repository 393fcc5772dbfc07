//! What answers and orders look like, for the description of the API: read off the types that they are made from.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The types that have a name, by it.
#[derive(Debug, Default)]
pub struct Schemas(BTreeMap<&'static str, Value>);

impl Schemas {
    /// A reference to the type of this name; what `describe` says of it is kept the first time.
    pub fn named(&mut self, name: &'static str, describe: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.0.contains_key(name) {
            self.0.insert(name, Value::Null);
            let described = describe(self);
            self.0.insert(name, described);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// All of them, as a JSON object.
    pub(super) fn into_json(self) -> Value {
        Value::Object(self.0.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect())
    }
}

/// Something of which a JSON Schema can be had (2020-12, as `OpenAPI` 3.1 takes it).
pub trait Described {
    /// Whether an order may leave it out.
    const OPTIONAL: bool = false;

    /// Its schema.
    fn schema(all: &mut Schemas) -> Value;
}

macro_rules! plain {
    ($($kind:ty: $schema:tt)*) => {
        $(impl Described for $kind {
            fn schema(_: &mut Schemas) -> Value {
                json!($schema)
            }
        })*
    };
}

plain! {
    String: { "type": "string" }
    &'static str: { "type": "string" }
    bool: { "type": "boolean" }
    u64: { "type": "integer", "minimum": 0 }
    u32: { "type": "integer", "minimum": 0 }
    u16: { "type": "integer", "minimum": 0, "maximum": 65535 }
    f64: { "type": "number" }
    Value: {}
    Map<String, Value>: { "type": "object", "additionalProperties": true }
}

impl<T: Described> Described for Option<T> {
    const OPTIONAL: bool = true;

    fn schema(all: &mut Schemas) -> Value {
        json!({ "anyOf": [T::schema(all), { "type": "null" }] })
    }
}

/// What an order has to say, be it that it is none of them (null). To leave it out is another thing, and an error: it may be a slip.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Stated<T>(pub Option<T>);

impl<T: Described> Described for Stated<T> {
    fn schema(all: &mut Schemas) -> Value {
        Option::<T>::schema(all)
    }
}

impl<T: Described> Described for Vec<T> {
    fn schema(all: &mut Schemas) -> Value {
        json!({ "type": "array", "items": T::schema(all) })
    }
}

/// The schema of a field, with what its documentation says.
pub(super) fn field<T: Described>(all: &mut Schemas, says: &str) -> Value {
    let mut schema = T::schema(all);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), json!(says.trim()));
    }
    schema
}

/// Defines what is answered (`answer`) or ordered (`order`), with its description: the documentation of its fields.
macro_rules! described {
    ($way:ident $($(#[doc = $about:literal])+ $vis:vis struct $name:ident {
        $($(#[doc = $says:literal])+ pub $field:ident: $kind:ty,)+
    })+) => {
        $(
            $crate::web::admin::schema::described!(@type $way $(#[doc = $about])+ $vis $name { $($(#[doc = $says])+ $field: $kind,)+ });

            impl $crate::web::admin::schema::Described for $name {
                fn schema(all: &mut $crate::web::admin::schema::Schemas) -> serde_json::Value {
                    all.named(stringify!($name), |all| {
                        let mut properties = serde_json::Map::new();
                        let mut required: Vec<&str> = Vec::new();
                        $(
                            let says = concat!($($says),+);
                            properties.insert(
                                stringify!($field).trim_start_matches("r#").to_owned(),
                                $crate::web::admin::schema::field::<$kind>(all, says),
                            );
                            let may_lack = $crate::web::admin::schema::described!(@lacks $way)
                                && <$kind as $crate::web::admin::schema::Described>::OPTIONAL;
                            if !may_lack {
                                required.push(stringify!($field).trim_start_matches("r#"));
                            }
                        )+
                        serde_json::json!({
                            "type": "object",
                            "description": concat!($($about),+).trim(),
                            "properties": properties,
                            "required": required,
                            "additionalProperties": false,
                        })
                    })
                }
            }
        )+
    };
    (@lacks answer) => { false };
    (@lacks order) => { true };
    (@type answer $(#[doc = $about:literal])+ $vis:vis $name:ident { $($(#[doc = $says:literal])+ $field:ident: $kind:ty,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, serde::Serialize)]
        $vis struct $name { $($(#[doc = $says])+ pub $field: $kind,)+ }
    };
    (@type order $(#[doc = $about:literal])+ $vis:vis $name:ident { $($(#[doc = $says:literal])+ $field:ident: $kind:ty,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        $vis struct $name { $($(#[doc = $says])+ pub $field: $kind,)+ }
    };
}
pub(super) use described;

#[cfg(test)]
mod tests {
    use super::*;

    described! { order
        /// Two
        /// lines.
        pub(super) struct Sample {
            /// A name.
            pub name: String,
            /// More of it.
            pub more: Option<Vec<u64>>,
            /// Said, if only as null.
            pub end: Stated<u64>,
        }
    }

    #[test]
    fn a_type_is_described_by_its_fields() {
        let mut all = Schemas::default();
        let reference = Sample::schema(&mut all);
        assert_eq!(reference["$ref"], "#/components/schemas/Sample");
        assert_eq!(Sample::schema(&mut all), reference);
        let schema = &all.into_json()["Sample"];
        assert_eq!(schema["description"], "Two lines.");
        assert_eq!(schema["required"], json!(["name", "end"]));
        assert_eq!(schema["properties"]["end"]["anyOf"][1]["type"], "null");
        assert_eq!(schema["properties"]["name"], json!({ "type": "string", "description": "A name." }));
        assert_eq!(schema["properties"]["more"]["anyOf"][0]["items"]["type"], "integer");
        let read: Sample = serde_json::from_str(r#"{"name": "x", "end": null}"#).unwrap();
        assert!(read.name == "x" && read.more.is_none() && read.end.0.is_none());
        let read: Sample = serde_json::from_str(r#"{"name": "x", "end": 3}"#).unwrap();
        assert_eq!(read.end.0, Some(3));
        assert!(serde_json::from_str::<Sample>(r#"{"name": "x"}"#).unwrap_err().to_string().contains("missing field `end`"));
        assert!(serde_json::from_str::<Sample>(r#"{"name": "x", "end": null, "other": 1}"#).is_err());
    }
}
