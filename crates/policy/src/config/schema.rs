//! The JSON Schema of a configuration, from the types that read it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of `T` (JSON Schema, draft 2020-12): `id` is its `$id`, an absolute URI; `title` is what people call the
/// document. What `T` refuses as unknown has `additionalProperties: false`.
pub fn schema<T: JsonSchema>(id: &str, title: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), id.into());
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}
