//! ROS 2 parameter YAML, by scalar style: what is quoted is a string, what is plain gets YAML 1.1's type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

pub use crate::deploy::ParamValue;

/// Why text is no parameter YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// Not even YAML.
    #[error("not YAML: {0}")]
    Syntax(String),
    /// YAML, but not of the form `node: ros__parameters: name: value`.
    #[error("line {line}: {reason}")]
    Form {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// Parameters by node key, as given: later ones overwrite within a key, keys stay in order of first appearance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ParamRules {
    nodes: Vec<(String, BTreeMap<String, ParamValue>)>,
}

impl ParamRules {
    /// One parameter of the nodes that `node` (`/**`, `/*`, `/ns/node`, `node`) means.
    pub fn set(&mut self, node: &str, name: &str, value: ParamValue) {
        let key = format!("/{}", node.trim_start_matches('/'));
        let at = self.nodes.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.nodes.push((key, BTreeMap::new()));
            self.nodes.len() - 1
        });
        self.nodes[at].1.insert(name.to_owned(), value);
    }

    /// All parameters of a file.
    pub fn read(&mut self, text: &str) -> Result<(), ParamsError> {
        let mut events = Events::new(text);
        let Some(root) = events.node()? else { return Ok(()) };
        let Yaml::Map(entries) = root.yaml else { return Err(root.refuse("the file is not a map of nodes")) };
        self.read_nodes("", entries)
    }

    fn read_nodes(&mut self, namespace: &str, entries: Vec<(String, Located)>) -> Result<(), ParamsError> {
        for (key, located) in entries {
            let line = located.line;
            let Yaml::Map(inner) = located.yaml else {
                let reason = format!("`{key}` wants `ros__parameters` below it");
                return Err(ParamsError::Form { line, reason });
            };
            if key == "ros__parameters" {
                if namespace.is_empty() {
                    let reason = "`ros__parameters` stands outside of a node".to_owned();
                    return Err(ParamsError::Form { line, reason });
                }
                self.read_parameters(namespace, "", inner)?;
            } else {
                let node = format!("{namespace}/{}", key.trim_matches('/'));
                self.read_nodes(&node, inner)?;
            }
        }
        Ok(())
    }

    fn read_parameters(
        &mut self,
        node: &str,
        prefix: &str,
        entries: Vec<(String, Located)>,
    ) -> Result<(), ParamsError> {
        for (key, located) in entries {
            let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match located.yaml {
                Yaml::Map(inner) => self.read_parameters(node, &name, inner)?,
                Yaml::Scalar(_) | Yaml::Sequence(_) => {
                    let value = located.into_value()?;
                    self.set(node, &name, value);
                }
            }
        }
        Ok(())
    }

    /// What holds for the node of this absolute name.
    /// Matching keys apply in the order of their first appearance, so that one behind another overwrites it.
    pub fn of_node(&self, fully_qualified_name: &str) -> BTreeMap<String, ParamValue> {
        let matching = self.nodes.iter().filter(|(key, _)| matches(key, fully_qualified_name));
        matching.flat_map(|(_, params)| params.clone()).collect()
    }
}

/// Whether a node key means a node: `*` stands for one part of its name, `**` for any number of them.
fn matches(key: &str, node: &str) -> bool {
    fn parts_match(key: &[&str], node: &[&str]) -> bool {
        match (key, node) {
            ([], []) => true,
            (["**", rest @ ..], _) => (0..=node.len()).any(|skip| parts_match(rest, &node[skip..])),
            (["*", rest @ ..], [_, tail @ ..]) => parts_match(rest, tail),
            ([first, rest @ ..], [head, tail @ ..]) => first == head && parts_match(rest, tail),
            ([], [_, ..]) | ([_, ..], []) => false,
        }
    }
    fn parts(name: &str) -> Vec<&str> {
        name.trim_start_matches('/').split('/').collect()
    }
    parts_match(&parts(key), &parts(node))
}

/// The value of `-p name:=text`.
pub(super) fn parse_value(text: &str) -> Result<ParamValue, ParamsError> {
    match Events::new(text).node()? {
        Some(located) => located.into_value(),
        None => Err(ParamsError::Form { line: 1, reason: "there is no value".to_owned() }),
    }
}

/// A piece of YAML and where it starts.
struct Located {
    line: usize,
    yaml: Yaml,
}

enum Yaml {
    Scalar(Scalar),
    Sequence(Vec<Located>),
    Map(Vec<(String, Located)>),
}

#[derive(Clone, Debug, PartialEq)]
enum Scalar {
    Bool(bool),
    Integer(i64),
    Double(f64),
    String(String),
}

impl Located {
    fn refuse(&self, reason: &str) -> ParamsError {
        ParamsError::Form { line: self.line, reason: reason.to_owned() }
    }

    fn into_value(self) -> Result<ParamValue, ParamsError> {
        match self.yaml {
            Yaml::Scalar(scalar) => Ok(match scalar {
                Scalar::Bool(value) => ParamValue::Bool(value),
                Scalar::Integer(value) => ParamValue::Int(value),
                Scalar::Double(value) => ParamValue::Double(value),
                Scalar::String(value) => ParamValue::String(value),
            }),
            Yaml::Sequence(items) => array(self.line, items),
            Yaml::Map(_) => Err(self.refuse("a parameter has a value or a list of values, not a map")),
        }
    }
}

/// A list, whose values all have the type of the first.
fn array(line: usize, items: Vec<Located>) -> Result<ParamValue, ParamsError> {
    macro_rules! all {
        ($kind:ident, $array:ident, $name:literal) => {{
            let values = items.into_iter().map(|item| match item.yaml {
                Yaml::Scalar(Scalar::$kind(value)) => Ok(value),
                _ => Err(item.refuse(concat!("a list that starts with ", $name, " holds nothing else"))),
            });
            Ok(ParamValue::$array(values.collect::<Result<_, _>>()?))
        }};
    }
    match items.first().map(|item| &item.yaml) {
        Some(Yaml::Scalar(Scalar::Bool(_))) => all!(Bool, BoolArray, "a boolean"),
        Some(Yaml::Scalar(Scalar::Integer(_))) => all!(Integer, IntArray, "a whole number"),
        Some(Yaml::Scalar(Scalar::Double(_))) => all!(Double, DoubleArray, "a double"),
        Some(Yaml::Scalar(Scalar::String(_))) => all!(String, StringArray, "a string"),
        Some(Yaml::Sequence(_) | Yaml::Map(_)) => {
            Err(ParamsError::Form { line, reason: "a list holds values, not lists or maps".to_owned() })
        }
        None => Err(ParamsError::Form { line, reason: "an empty list has no type in ROS 2".to_owned() }),
    }
}

/// Nesting that no parameter file has; keeps the stack bounded for any text.
const MAX_DEPTH: usize = 64;

struct Events<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> Events<'a> {
    fn new(text: &'a str) -> Self {
        Self { parser: Parser::new_from_str(text) }
    }

    /// The first document; `None` for a text without one.
    fn node(&mut self) -> Result<Option<Located>, ParamsError> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd, _) => return Ok(None),
                (event, line) => return self.value(event, line, 0).map(Some),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, usize), ParamsError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(ParamsError::Syntax(error.to_string())),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn value(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Located, ParamsError> {
        let refuse = |reason: &str| Err(ParamsError::Form { line, reason: reason.to_owned() });
        if depth > MAX_DEPTH {
            return refuse("nested too deeply");
        }
        let yaml = match event {
            Event::Scalar(text, style, _, tag) => Yaml::Scalar(scalar(text, style, tag.as_deref(), line)?),
            // A tag such as launch's `!!python/tuple` says nothing that the list itself does not.
            Event::SequenceStart(..) => Yaml::Sequence(self.sequence(depth)?),
            Event::MappingStart(..) => Yaml::Map(self.map(depth)?),
            Event::Alias(_) => return refuse("aliases are not allowed in parameter files"),
            _ => return refuse("a value is missing"),
        };
        Ok(Located { line, yaml })
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Located>, ParamsError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, line) => items.push(self.value(event, line, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(String, Located)>, ParamsError> {
        let mut entries = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(text, ..), _) if !text.is_empty() => text.into_owned(),
                (_, line) => return Err(ParamsError::Form { line, reason: "a key is a name".to_owned() }),
            };
            let (event, line) = self.next()?;
            entries.push((key, self.value(event, line, depth + 1)?));
        }
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Result<Scalar, ParamsError> {
    let string = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if string || style != ScalarStyle::Plain {
        return Ok(Scalar::String(text.into_owned()));
    }
    match &*text {
        "" => Err(ParamsError::Form { line, reason: "there is no value".to_owned() }),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Ok(Scalar::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Ok(Scalar::Bool(false)),
        number => Ok(integer(number).map(Scalar::Integer).or_else(|| double(number).map(Scalar::Double)))
            .map(|number| number.unwrap_or_else(|| Scalar::String(text.into_owned()))),
    }
}

/// A whole number as C's `strtol` reads it in base 0: decimal, `0x` hexadecimal, `0` octal.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    digits.chars().all(|c| c.is_digit(radix)).then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok())?
}

/// A number as C's `strtod` reads it, and YAML's `.nan` and `.inf`.
fn double(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        ".nan" => return Some(f64::NAN),
        ".inf" | "+.inf" => return Some(f64::INFINITY),
        "-.inf" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let number: f64 = text.parse().ok()?;
    // `1e999` is out of range for `strtod`, which makes it a string.
    let overflowed = number.is_infinite() && text.contains(|c: char| c.is_ascii_digit());
    (!overflowed).then_some(number)
}
