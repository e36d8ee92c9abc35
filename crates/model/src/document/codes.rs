//! The codes of this crate's findings about a document. A code is never given a new meaning.

/// The file is not UTF-8 text.
pub const NOT_UTF8: &str = "E0001";
/// The file is larger than [`crate::source::MAX_BYTES`].
pub const TOO_LARGE: &str = "E0002";

/// The text breaks the rules of YAML, TOML or JSON.
pub const SYNTAX: &str = "E0101";
/// A key stands twice in one mapping.
pub const DUPLICATE_KEY: &str = "E0102";
/// A tab stands where only spaces may.
pub const TAB: &str = "E0103";
/// A key is not text.
pub const KEY_NOT_TEXT: &str = "E0104";
/// A word that YAML 1.1 reads as a boolean (yes, no, on, off ...).
pub const OLD_BOOLEAN: &str = "E0105";
/// Digits with colons, which YAML 1.1 reads as a number to base 60.
pub const SEXAGESIMAL: &str = "E0106";
/// A number in a form that YAML 1.1 and 1.2 read differently (0123, 0b1, `1_000`).
pub const OLD_NUMBER: &str = "E0107";
/// A YAML merge key `<<`.
pub const MERGE_KEY: &str = "E0108";
/// A YAML tag that is not of the core schema, or does not fit its value.
pub const TAG: &str = "E0109";
/// Several documents in one file.
pub const SEVERAL_DOCUMENTS: &str = "E0110";
/// An alias that means itself, or aliases that expand without measure.
pub const ALIAS: &str = "E0111";
/// Nesting deeper than [`super::MAX_DEPTH`].
pub const TOO_DEEP: &str = "E0112";
/// A control character.
pub const CONTROL_CHARACTER: &str = "E0113";
/// A number that is infinite, not a number, or too large.
pub const NUMBER_RANGE: &str = "E0114";
/// A YAML directive.
pub const DIRECTIVE: &str = "E0115";
/// A TOML date or time, for which the language has no use.
pub const DATE: &str = "E0116";

/// A variable that is not defined.
pub const UNKNOWN_VARIABLE: &str = "E0201";
/// A malformed `${...}`.
pub const BAD_REFERENCE: &str = "E0202";
/// Variables that need each other.
pub const VARIABLE_CYCLE: &str = "E0203";
/// A variable that is not a single value, or a name that no `${...}` can hold.
pub const BAD_VARIABLE: &str = "E0204";
/// An override of a variable that the file does not define.
pub const UNKNOWN_OVERRIDE: &str = "E0205";
/// Variables that expand without measure.
pub const EXPANSION: &str = "E0206";

/// A key that the language does not know here.
pub const UNKNOWN_KEY: &str = "E0301";
/// A key that must be there.
pub const MISSING_KEY: &str = "E0302";
/// A value of the wrong type.
pub const WRONG_TYPE: &str = "E0303";
/// A value that is none of the few that are legal.
pub const BAD_VALUE: &str = "E0304";
/// A number outside its range.
pub const OUT_OF_RANGE: &str = "E0305";
/// Too many or too few characters, items or keys.
pub const BAD_LENGTH: &str = "E0306";
/// A text that is not what its place asks for (an address, a rate, a name ...).
pub const BAD_FORMAT: &str = "E0307";

/// A value that its type refuses although its structure is right.
pub const REFUSED: &str = "E0401";
