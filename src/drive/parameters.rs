//! The node's parameters while it runs: what tools read of them and what they may change.

use std::collections::BTreeMap;

use crate::deploy::{Declared, ParamValue, Setting};
use crate::drive::clock::Clock;
use crate::time::Stamp;

/// What a parameter that changed does to the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `task`: a new instruction.
    Task(String),
    /// `dry_run` is true: from now on nothing moves.
    DryRun,
}

/// Takes the changes; runs on the middleware's thread and must not wait.
pub type Apply = Box<dyn FnMut(Change) + Send>;

/// Parameters by name, and who is told of changes.
pub struct Parameters {
    declared: BTreeMap<String, Declared>,
    clock: Clock,
    apply: Apply,
}

impl Parameters {
    /// The parameters as the node starts with them.
    pub fn new(declared: BTreeMap<String, Declared>, clock: Clock, apply: Apply) -> Self {
        Self { declared, clock, apply }
    }

    /// When a change is told to have happened: on the node's clock, zero before it begins.
    pub fn now(&self) -> Stamp {
        self.clock.now().unwrap_or_default()
    }

    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Declared> {
        self.declared.get(name)
    }

    /// Names below `prefixes` (all where there is none) of at most `depth` dots behind them (any where 0), and the
    /// prefixes of these names, as `rcl_interfaces/ListParameters` wants them.
    pub fn list(&self, prefixes: &[String], depth: u64) -> (Vec<String>, Vec<String>) {
        let separators = |text: &str| text.matches('.').count() as u64;
        let shallow = |rest: &str| depth == 0 || separators(rest) < depth;
        let below = |name: &str, prefix: &String| {
            name == prefix
                || name.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_prefix('.')).is_some_and(shallow)
        };
        let wanted = |name: &String| {
            if prefixes.is_empty() { shallow(name) } else { prefixes.iter().any(|prefix| below(name, prefix)) }
        };
        let names: Vec<String> = self.declared.keys().filter(|name| wanted(name)).cloned().collect();
        let mut above: Vec<String> =
            names.iter().filter_map(|name| Some(name.rsplit_once('.')?.0.to_owned())).collect();
        above.dedup();
        (names, above)
    }

    /// Sets all of `wanted` or none; `None` as a value means to remove.
    ///
    /// # Errors
    /// The reason for the first that cannot be set.
    pub fn set(&mut self, wanted: &[(String, Option<ParamValue>)]) -> Result<(), String> {
        let mut changes = Vec::with_capacity(wanted.len());
        for (name, value) in wanted {
            changes.push(self.check(name, value.as_ref())?);
        }
        for ((name, value), change) in wanted.iter().zip(changes) {
            if let Some(change) = change {
                (self.apply)(change);
            }
            if let Some(parameter) = self.declared.get_mut(name) {
                parameter.value.clone_from(value);
            }
        }
        Ok(())
    }

    /// What setting it would do; nothing where it is so already.
    fn check(&self, name: &str, value: Option<&ParamValue>) -> Result<Option<Change>, String> {
        let parameter = self.get(name).ok_or_else(|| format!("`{name}` is not a parameter of this node"))?;
        if parameter.setting == Setting::AtStart {
            return Err(format!("`{name}` is read when the node starts; start it again with the new value"));
        }
        match (name, value) {
            (_, None) => Err(format!("`{name}` cannot be removed")),
            ("task", Some(ParamValue::String(task))) => Ok(Some(Change::Task(task.clone()))),
            ("dry_run", Some(ParamValue::Bool(true))) => Ok(Some(Change::DryRun)),
            ("dry_run", Some(same @ ParamValue::Bool(false))) if parameter.value.as_ref() == Some(same) => Ok(None),
            ("dry_run", Some(ParamValue::Bool(false))) => {
                Err("`dry_run` can be switched off only at the start of the node".to_owned())
            }
            ("task", Some(other)) => Err(format!("`task` wants a string, got {}", other.type_word())),
            (_, Some(other)) => Err(format!("`{name}` wants a bool, got {}", other.type_word())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::deploy::declare;

    fn parameters(dry_run: ParamValue) -> (Parameters, Receiver<Change>) {
        let given = BTreeMap::from([
            ("dry_run".to_owned(), dry_run),
            ("provider_options.gpu.id".to_owned(), ParamValue::Int(1)),
        ]);
        let (sender, changes) = channel();
        (
            Parameters::new(
                declare(&given, ["front", "wrist"]),
                Clock::system(),
                Box::new(move |change| drop(sender.send(change))),
            ),
            changes,
        )
    }

    fn one(name: &str, value: ParamValue) -> [(String, Option<ParamValue>); 1] {
        [(name.to_owned(), Some(value))]
    }

    #[test]
    fn a_task_is_an_instruction_every_time_it_is_set() {
        let (mut parameters, changes) = parameters(ParamValue::Bool(true));
        let wipe = one("task", ParamValue::String("wipe".to_owned()));
        assert_eq!((parameters.set(&wipe), parameters.set(&wipe)), (Ok(()), Ok(())));
        assert_eq!(
            changes.try_iter().collect::<Vec<_>>(),
            [Change::Task("wipe".to_owned()), Change::Task("wipe".to_owned())]
        );
        assert_eq!(parameters.get("task").unwrap().value, Some(ParamValue::String("wipe".to_owned())));
    }

    #[test]
    fn motion_can_be_switched_off_and_not_on() {
        let (mut parameters, changes) = parameters(ParamValue::Bool(false));
        assert_eq!(parameters.set(&one("dry_run", ParamValue::Bool(false))), Ok(()));
        assert!(changes.try_recv().is_err(), "it was so already");
        assert_eq!(parameters.set(&one("dry_run", ParamValue::Bool(true))), Ok(()));
        assert_eq!(changes.try_recv(), Ok(Change::DryRun));
        let on = parameters.set(&one("dry_run", ParamValue::Bool(false)));
        assert_eq!(on, Err("`dry_run` can be switched off only at the start of the node".to_owned()));
        assert!(changes.try_recv().is_err());
    }

    #[test]
    fn what_cannot_be_set_says_why_and_nothing_else_is_set_with_it() {
        let (mut parameters, changes) = parameters(ParamValue::Bool(true));
        let mut refused = |name: &str, value: Option<ParamValue>| {
            let task = ("task".to_owned(), Some(ParamValue::String("wipe".to_owned())));
            parameters.set(&[task, (name.to_owned(), value)]).unwrap_err()
        };
        assert_eq!(refused("speed", Some(ParamValue::Int(3))), "`speed` is not a parameter of this node");
        let read_once = "`n_action_steps` is read when the node starts; start it again with the new value";
        assert_eq!(refused("n_action_steps", Some(ParamValue::Int(3))), read_once);
        assert_eq!(refused("task", Some(ParamValue::Int(3))), "`task` wants a string, got an integer");
        assert_eq!(refused("dry_run", Some(ParamValue::Int(1))), "`dry_run` wants a bool, got an integer");
        assert_eq!(refused("task", None), "`task` cannot be removed");
        assert!(changes.try_recv().is_err());
    }

    #[test]
    fn lists_are_cut_by_prefix_and_depth() {
        let (parameters, _changes) = parameters(ParamValue::Bool(true));
        let list = |prefixes: &[&str], depth| {
            parameters.list(&prefixes.iter().map(ToString::to_string).collect::<Vec<_>>(), depth)
        };
        assert_eq!(list(&["images"], 1), (vec!["images.front".into(), "images.wrist".into()], vec!["images".into()]));
        assert_eq!(list(&["provider_options"], 1), (vec![], vec![]));
        assert_eq!(list(&["provider_options"], 2).0, ["provider_options.gpu.id"]);
        // Two topics of two cameras and an option of the provider are deeper than one level.
        assert_eq!(list(&[], 0).0.len() - list(&[], 1).0.len(), 5);
        assert_eq!(list(&["dry_run"], 1).0, ["dry_run"]);
    }
}
