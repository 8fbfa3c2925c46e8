//! Names of nodes and topics: what is allowed, how they become absolute, how they are remapped.

/// Who the node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeIdentity {
    /// Absolute, without a slash at the end: `/` or `/arm`.
    pub namespace: String,
    /// One token.
    pub name: String,
}

/// One `-r` rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remap {
    /// The node that it is for; `None` for all.
    node: Option<String>,
    pub target: Target,
}

/// What a rule changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    NodeName(String),
    Namespace(String),
    Topic { from: String, to: String },
}

/// A name that ROS 2 does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid {kind}: {reason}")]
pub struct NameError {
    name: String,
    kind: &'static str,
    reason: &'static str,
}

impl Remap {
    /// A rule from `from:=to` or `node:from:=to`; `None` where it has not that form.
    pub fn parse(rule: &str) -> Result<Option<Self>, NameError> {
        let Some((left, to)) = rule.split_once(":=") else { return Ok(None) };
        let (node, from) = match left.split_once(':') {
            Some((node, from)) => (Some(node), from),
            None => (None, left),
        };
        if from.is_empty() || to.is_empty() || node == Some("") {
            return Ok(None);
        }
        if let Some(node) = node {
            check_token(node, "node name")?;
        }
        let target = match from {
            "__node" | "__name" => {
                check_token(to, "node name")?;
                Target::NodeName(to.to_owned())
            }
            "__ns" => {
                if !to.starts_with('/') {
                    return Err(invalid(to, "namespace", "it does not start with /"));
                }
                if to != "/" {
                    check_tokens(to, "namespace")?;
                }
                Target::Namespace(to.to_owned())
            }
            _ => {
                check_topic(from)?;
                check_topic(to)?;
                Target::Topic { from: from.to_owned(), to: to.to_owned() }
            }
        };
        Ok(Some(Self { node: node.map(str::to_owned), target }))
    }

    /// Whether the rule is for the node of this name.
    pub fn is_for(&self, node_name: &str) -> bool {
        self.node.as_deref().is_none_or(|node| node == node_name)
    }
}

impl Target {
    pub fn node_name(&self) -> Option<&str> {
        match self {
            Self::NodeName(name) => Some(name),
            Self::Namespace(_) | Self::Topic { .. } => None,
        }
    }

    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Namespace(namespace) => Some(namespace),
            Self::NodeName(_) | Self::Topic { .. } => None,
        }
    }
}

impl NodeIdentity {
    pub fn fully_qualified_name(&self) -> String {
        format!("{}/{}", self.namespace.trim_end_matches('/'), self.name)
    }

    /// The absolute form of `name`, before remapping.
    pub fn expand(&self, name: &str) -> Result<String, NameError> {
        check_topic(name)?;
        let private = name.strip_prefix('~').map(|rest| format!("{}{rest}", self.fully_qualified_name()));
        let name = private.unwrap_or_else(|| name.to_owned()).replace("{node}", &self.name);
        // A namespace brings its own leading slash: `/{ns}/a` and `{ns}/a` are the same name.
        let bare = self.namespace.trim_start_matches('/');
        let name = name.replace("{ns}", bare).replace("{namespace}", bare);
        let absolute = match name.strip_prefix('/') {
            Some(rest) => format!("/{}", rest.trim_start_matches('/')),
            None => format!("{}/{name}", self.namespace.trim_end_matches('/')),
        };
        check_tokens(&absolute, "topic name")?;
        Ok(absolute)
    }
}

fn check_topic(name: &str) -> Result<(), NameError> {
    const KIND: &str = "topic name";
    let plain = name.replace("{node}", "n").replace("{namespace}", "n").replace("{ns}", "n");
    match plain.strip_prefix('~') {
        Some("") => Ok(()),
        Some(rest) if !rest.starts_with('/') => Err(invalid(name, KIND, "a tilde is followed by a slash")),
        Some(rest) => check_tokens(rest, KIND),
        None => check_tokens(&plain, KIND),
    }
    .map_err(|error| NameError { name: name.to_owned(), ..error })
}

/// Every token between slashes, of which the first may stand in front.
fn check_tokens(name: &str, kind: &'static str) -> Result<(), NameError> {
    let tokens = name.strip_prefix('/').unwrap_or(name).split('/');
    tokens
        .into_iter()
        .try_for_each(|token| check_token(token, kind))
        .map_err(|error| NameError { name: name.to_owned(), ..error })
}

fn check_token(token: &str, kind: &'static str) -> Result<(), NameError> {
    let reason = match token.chars().next() {
        None => "it has an empty part",
        Some(first) if first.is_ascii_digit() => "a part starts with a digit",
        Some(_) if !token.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            "only letters, digits, _ and / are allowed"
        }
        Some(_) => return Ok(()),
    };
    Err(invalid(token, kind, reason))
}

fn invalid(name: &str, kind: &'static str, reason: &'static str) -> NameError {
    NameError { name: name.to_owned(), kind, reason }
}
