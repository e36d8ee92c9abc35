//! A JSON Schema (draft 2020-12, as schemars writes it) made ready for checking: references resolved to
//! indices, keywords read once.

use crate::document::node::{Kinds, Value};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;

/// Index of a rule.
pub(super) type RuleId = usize;

/// What a `T` may look like, for [`Structure::check`]. Made once for a type.
#[derive(Debug, Clone)]
pub struct Structure {
    pub(super) rules: Vec<Rule>,
    pub(super) root: RuleId,
}

/// One schema object.
#[derive(Debug, Clone, Default)]
pub(super) struct Rule {
    /// Kinds that may stand here.
    pub(super) kinds: Kinds,
    /// What it is, in words, if the schema says so briefly.
    pub(super) description: Option<String>,
    pub(super) format: Option<String>,
    /// The only legal values (`enum`, `const`).
    pub(super) legal: Option<Vec<Value>>,
    pub(super) minimum: Option<Bound>,
    pub(super) maximum: Option<Bound>,
    pub(super) length: Range,
    pub(super) items: Range,
    pub(super) entries: Range,
    pub(super) unique: bool,
    /// Rules of the first items (`prefixItems`), then the rule of all others; `None` allows anything.
    pub(super) first_items: Vec<RuleId>,
    pub(super) other_items: Option<RuleId>,
    pub(super) properties: HashMap<String, RuleId>,
    /// The keys of `properties` in the order in which they are told.
    pub(super) names: Vec<String>,
    pub(super) patterns: Vec<(KeyPattern, RuleId)>,
    pub(super) required: Vec<String>,
    /// What every key must be as text (`propertyNames`).
    pub(super) keys: Option<RuleId>,
    /// The rule of keys that are not named; `None` allows anything.
    pub(super) other_keys: Option<RuleId>,
    /// Keys that are named nowhere are refused.
    pub(super) closed: bool,
    /// All of these hold as well (`allOf`, and `$ref` beside other keywords).
    pub(super) all_of: Vec<RuleId>,
    /// One of each of these holds as well (`oneOf`, `anyOf`).
    pub(super) unions: Vec<Vec<RuleId>>,
}

/// A bound of a number; integers are compared exactly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) value: Number,
    pub(super) exclusive: bool,
}

/// A number of a schema.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

/// Bounds of a length.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Range {
    pub(super) least: Option<u64>,
    pub(super) most: Option<u64>,
}

/// The patterns of keys that schemars writes for maps with numbers as keys; others match every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyPattern {
    Unsigned,
    Signed,
    Any,
}

impl KeyPattern {
    pub(super) fn matches(self, key: &str) -> bool {
        // Without leading zeros: `1` and `01` would become one key.
        let digits = |text: &str| match text.as_bytes() {
            [b'0'] => true,
            [b'1'..=b'9', more @ ..] => more.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        match self {
            Self::Unsigned => digits(key),
            Self::Signed => key != "-0" && digits(key.strip_prefix('-').unwrap_or(key)),
            Self::Any => true,
        }
    }
}

impl Structure {
    /// The structure of a type, by its JSON Schema.
    #[must_use]
    pub fn of<T: JsonSchema>() -> Self {
        Self::new(SchemaGenerator::default().into_root_schema_for::<T>().as_value())
    }

    /// The structure that a JSON Schema describes. Keywords that are not known restrict nothing; a `$ref` that
    /// leads nowhere allows everything.
    #[must_use]
    pub fn new(schema: &Json) -> Self {
        let mut compiler = Compiler { document: schema, rules: Vec::new(), by_reference: HashMap::new() };
        let root = compiler.reserve();
        compiler.by_reference.insert("#".to_owned(), root);
        compiler.fill(root, schema);
        Self { rules: compiler.rules, root }
    }

    /// Whether the top level names this key.
    #[must_use]
    pub fn knows_key(&self, key: &str) -> bool {
        self.rule(self.root).properties.contains_key(key)
    }

    pub(super) fn rule(&self, id: RuleId) -> &Rule {
        // Every id was made by `reserve`, so the index is in range.
        &self.rules[id]
    }
}

impl Rule {
    fn anything() -> Self {
        Self { kinds: Kinds::ALL, ..Self::default() }
    }
}

struct Compiler<'s> {
    document: &'s Json,
    rules: Vec<Rule>,
    by_reference: HashMap<String, RuleId>,
}

impl<'s> Compiler<'s> {
    fn reserve(&mut self) -> RuleId {
        self.rules.push(Rule::anything());
        self.rules.len() - 1
    }

    fn compile(&mut self, schema: &'s Json) -> RuleId {
        // A bare reference needs no rule of its own.
        if let Json::Object(keywords) = schema
            && let Some(Json::String(reference)) = keywords.get("$ref")
            && keywords.keys().all(|key| matches!(key.as_str(), "$ref" | "description" | "title" | "default"))
        {
            return self.reference(reference);
        }
        let id = self.reserve();
        self.fill(id, schema);
        id
    }

    fn reference(&mut self, reference: &str) -> RuleId {
        if let Some(id) = self.by_reference.get(reference) {
            return *id;
        }
        let id = self.reserve();
        self.by_reference.insert(reference.to_owned(), id);
        let target = reference.strip_prefix('#').and_then(|pointer| self.document.pointer(pointer));
        if let Some(target) = target {
            self.fill(id, target);
        }
        id
    }

    fn fill(&mut self, id: RuleId, schema: &'s Json) {
        let rule = match schema {
            Json::Object(keywords) => self.keywords(keywords),
            Json::Bool(false) => Rule { kinds: Kinds::NONE, ..Rule::default() },
            _ => Rule::anything(),
        };
        self.rules[id] = rule;
    }

    fn list(&mut self, schemas: Option<&'s Json>) -> Vec<RuleId> {
        let schemas = schemas.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        schemas.iter().map(|schema| self.compile(schema)).collect()
    }

    fn keywords(&mut self, keywords: &'s Map<String, Json>) -> Rule {
        let text = |key: &str| keywords.get(key).and_then(Json::as_str).map(str::to_owned);
        let count = |key: &str| keywords.get(key).and_then(Json::as_u64);
        let mut rule = Rule {
            kinds: kinds(keywords),
            description: text("description").and_then(|text| brief(&text)),
            format: text("format"),
            legal: legal(keywords),
            minimum: bound(keywords, "minimum", "exclusiveMinimum"),
            maximum: bound(keywords, "maximum", "exclusiveMaximum"),
            length: Range { least: count("minLength"), most: count("maxLength") },
            items: Range { least: count("minItems"), most: count("maxItems") },
            entries: Range { least: count("minProperties"), most: count("maxProperties") },
            unique: keywords.get("uniqueItems").and_then(Json::as_bool).unwrap_or(false),
            ..Rule::default()
        };
        if let Some((least, most)) = rule.format.as_deref().and_then(integer_range) {
            let inclusive = |value| Bound { value: Number::Integer(value), exclusive: false };
            rule.minimum.get_or_insert(inclusive(least));
            rule.maximum.get_or_insert(inclusive(most));
        }
        rule.first_items = self.list(keywords.get("prefixItems"));
        rule.other_items = keywords.get("items").map(|schema| self.compile(schema));
        if let Some(Json::Object(properties)) = keywords.get("properties") {
            for (name, schema) in properties {
                let id = self.compile(schema);
                rule.names.push(name.clone());
                rule.properties.insert(name.clone(), id);
            }
        }
        if let Some(Json::Object(patterns)) = keywords.get("patternProperties") {
            for (pattern, schema) in patterns {
                let pattern = match pattern.as_str() {
                    r"^\d+$" => KeyPattern::Unsigned,
                    r"^-?\d+$" => KeyPattern::Signed,
                    _ => KeyPattern::Any,
                };
                let id = self.compile(schema);
                rule.patterns.push((pattern, id));
            }
        }
        if let Some(Json::Array(names)) = keywords.get("required") {
            rule.required = names.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        }
        for key in ["additionalProperties", "unevaluatedProperties"] {
            match keywords.get(key) {
                Some(Json::Bool(false)) => rule.closed = true,
                Some(schema @ Json::Object(_)) => rule.other_keys = Some(self.compile(schema)),
                _ => {}
            }
        }
        rule.keys = keywords.get("propertyNames").map(|schema| self.compile(schema));
        rule.all_of = self.list(keywords.get("allOf"));
        if let Some(Json::String(reference)) = keywords.get("$ref") {
            rule.all_of.push(self.reference(reference));
        }
        for key in ["oneOf", "anyOf"] {
            let branches = self.list(keywords.get(key));
            if !branches.is_empty() {
                rule.unions.push(branches);
            }
        }
        rule
    }
}

/// The kinds that `type`, `enum` and `const` allow.
fn kinds(keywords: &Map<String, Json>) -> Kinds {
    let named = |name: &Json| match name.as_str() {
        Some("null") => Kinds::NULL,
        Some("boolean") => Kinds::BOOL,
        Some("integer") => Kinds::INTEGER,
        Some("number") => Kinds::INTEGER.with(Kinds::FLOAT),
        Some("string") => Kinds::STRING,
        Some("array") => Kinds::SEQUENCE,
        Some("object") => Kinds::MAPPING,
        _ => Kinds::ALL,
    };
    let by_type = match keywords.get("type") {
        Some(Json::Array(names)) => names.iter().map(named).fold(Kinds::NONE, Kinds::with),
        Some(name) => named(name),
        None => Kinds::ALL,
    };
    match legal(keywords) {
        Some(values) => by_type.and(values.iter().map(Value::kind).fold(Kinds::NONE, Kinds::with)),
        None => by_type,
    }
}

fn legal(keywords: &Map<String, Json>) -> Option<Vec<Value>> {
    let values = match (keywords.get("const"), keywords.get("enum")) {
        (Some(value), _) => std::slice::from_ref(value),
        (None, Some(Json::Array(values))) => values.as_slice(),
        _ => return None,
    };
    Some(values.iter().filter_map(scalar).collect())
}

fn scalar(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::String(text) => Value::String(text.clone()),
        Json::Number(_) => match number(value)? {
            Number::Integer(number) => Value::Integer(number),
            Number::Float(number) => Value::Float(number),
        },
        Json::Array(_) | Json::Object(_) => return None,
    })
}

fn number(value: &Json) -> Option<Number> {
    let integer = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    match (integer, value.as_f64()) {
        (Some(integer), _) => Some(Number::Integer(integer)),
        // Schemars writes bounds given as floats; whole ones up to 2^53 are the integers they look like.
        #[allow(clippy::cast_possible_truncation)]
        (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9e15 => {
            Some(Number::Integer(float as i128))
        }
        (None, float) => float.map(Number::Float),
    }
}

fn bound(keywords: &Map<String, Json>, inclusive: &str, exclusive: &str) -> Option<Bound> {
    let of =
        |key: &str, exclusive| keywords.get(key).and_then(number).map(|value| Bound { value, exclusive });
    of(inclusive, false).or_else(|| of(exclusive, true))
}

/// The range of an integer type; schemars writes bounds for the small ones only.
fn integer_range(format: &str) -> Option<(i128, i128)> {
    Some(match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int64" | "int" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint64" | "uint" => (0, u64::MAX.into()),
        _ => return None,
    })
}

/// The first sentence of a description, if it is short enough to stand behind an error.
fn brief(text: &str) -> Option<String> {
    const LONGEST: usize = 100;
    let line = text.lines().next()?.trim();
    let sentence = line.split_once(". ").map_or(line, |(first, _)| first).trim_end_matches('.');
    (!sentence.is_empty() && sentence.len() <= LONGEST).then(|| sentence.to_owned())
}
