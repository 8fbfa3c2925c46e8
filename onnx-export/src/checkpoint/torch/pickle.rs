//! The part of Python's pickle (protocols 2 to 5) that a state dict needs, as a stack machine without loops or calls.
//!
//! Opcodes: CPython, `Lib/pickletools.py`. Memory is linear in the pickle's length, which is bounded.

use std::collections::BTreeMap;

use super::value::{Callable, Id, Value, Values};

/// Enough for the names and shapes of some 25 000 tensors.
const MAX_PICKLE: usize = 4 << 20;

/// The values that a pickle describes.
pub(super) fn read(pickle: &[u8]) -> Result<Values<'_>, String> {
    if pickle.len() > MAX_PICKLE {
        return Err(format!("the pickle has {} bytes, at most {MAX_PICKLE} makes sense", pickle.len()));
    }
    let mut machine =
        Machine { rest: pickle, values: Values::default(), stack: vec![], marks: vec![], memo: BTreeMap::new() };
    loop {
        let at = pickle.len() - machine.rest.len();
        let refuse = |reason| format!("byte {at} of the pickle: {reason}");
        let [opcode] = machine.take().map_err(refuse)?;
        if opcode == b'.' {
            let root = machine.pop().map_err(refuse)?;
            machine.values.finish(root);
            return Ok(machine.values);
        }
        machine.step(opcode).map_err(refuse)?;
    }
}

struct Machine<'p> {
    rest: &'p [u8],
    values: Values<'p>,
    stack: Vec<Id>,
    /// Heights of the stack, where groups begin.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl<'p> Machine<'p> {
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // PROTO, FRAME: where the pickle stands says the same.
            0x80 => self.take::<1>().map(drop),
            0x95 => self.take::<8>().map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'q' => self.take::<1>().and_then(|[at]| self.remember(u32::from(at))),
            b'r' => self.take().and_then(|at| self.remember(u32::from_le_bytes(at))),
            0x94 => self.remember(self.memo.len() as u32),
            b'h' => self.take::<1>().and_then(|[at]| self.recall(u32::from(at))),
            b'j' => self.take().and_then(|at| self.recall(u32::from_le_bytes(at))),
            b'c' | 0x93 | b'R' | b'Q' | b'b' => self.reference(opcode),
            b')' | b't' | 0x85..=0x87 | b']' | b'a' | b'e' | b'}' | b's' | b'u' => self.collection(opcode),
            _ => self.literal(opcode),
        }
    }

    fn literal(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool,
            b'K' => Value::Int(i64::from(u8::from_le_bytes(self.take()?))),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.take()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.take()?))),
            0x8a => {
                let [length] = self.take()?;
                Value::Int(long(self.slice(usize::from(length))?)?)
            }
            b'G' => {
                self.take::<8>()?;
                Value::Float
            }
            b'X' => {
                let length = u32::from_le_bytes(self.take()?);
                Value::Text(self.text(u64::from(length))?)
            }
            0x8c => {
                let [length] = self.take()?;
                Value::Text(self.text(u64::from(length))?)
            }
            0x8d => {
                let length = u64::from_le_bytes(self.take()?);
                Value::Text(self.text(length)?)
            }
            _ => return Err(format!("opcode {opcode:#04x} is none that a state dict needs")),
        };
        self.push(value);
        Ok(())
    }

    fn reference(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                global(module, name)?
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.values.get(module), self.values.get(name)) {
                    (Value::Text(module), Value::Text(name)) => global(module, name)?,
                    (module, name) => return Err(format!("got a global of {} and {}", module.kind(), name.kind())),
                }
            }
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.values.call(callable, arguments)?
            }
            b'Q' => {
                let id = self.pop()?;
                self.values.persistent(id)?
            }
            // BUILD: attributes of a dict, as the `_metadata` of a state dict, are nothing that a tensor needs.
            _ => {
                self.pop()?;
                let top = self.top()?;
                return match self.values.get(top) {
                    Value::Dict(_) => Ok(()),
                    other => Err(format!("got attributes for {}, wanted a dict", other.kind())),
                };
            }
        };
        self.push(value);
        Ok(())
    }

    fn collection(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            b')' => Value::Tuple(vec![]),
            b']' => Value::List(vec![]),
            b'}' => Value::Dict(vec![]),
            b't' => Value::Tuple(self.group()?),
            0x85..=0x87 => Value::Tuple(self.tail(usize::from(opcode - 0x84))?),
            b'a' => {
                let item = self.tail(1)?;
                return self.append(&item);
            }
            b'e' => {
                let items = self.group()?;
                return self.append(&items);
            }
            b's' => {
                let item = self.tail(2)?;
                return self.set(&item);
            }
            _ => {
                let items = self.group()?;
                return self.set(&items);
            }
        };
        self.push(value);
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        match self.values.get_mut(top) {
            Value::List(list) => list.extend_from_slice(items),
            other => return Err(format!("got items for {}, wanted a list", other.kind())),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let (pairs, odd) = items.as_chunks();
        if !odd.is_empty() {
            return Err("got a key without a value".to_owned());
        }
        let top = self.top()?;
        match self.values.get_mut(top) {
            Value::Dict(dict) => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            other => return Err(format!("got entries for {}, wanted a dict", other.kind())),
        }
        Ok(())
    }

    fn push(&mut self, value: Value<'p>) {
        let id = self.values.add(value);
        self.stack.push(id);
    }

    fn remember(&mut self, at: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(at, top);
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Result<(), String> {
        let id = self.memo.get(&at).ok_or_else(|| format!("memo {at} is empty"))?;
        self.stack.push(*id);
        Ok(())
    }

    /// Lowest height down to which values may be taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, String> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| "the stack is empty".to_owned())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The last `count` values.
    fn tail(&mut self, count: usize) -> Result<Vec<Id>, String> {
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= self.floor() => Ok(self.stack.drain(start..).collect()),
            _ => Err("the stack is empty".to_owned()),
        }
    }

    /// The values since the last mark.
    fn group(&mut self) -> Result<Vec<Id>, String> {
        let start = self.marks.pop().ok_or("no mark is set")?;
        // Not `split_off`, which may hand the whole stack's capacity to every small group.
        Ok(self.stack.drain(start..).collect())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("the pickle ends here")?;
        self.rest = rest;
        Ok(*taken)
    }

    fn slice(&mut self, length: usize) -> Result<&'p [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("the pickle ends inside a value")?;
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self, length: u64) -> Result<&'p str, String> {
        let bytes = self.slice(usize::try_from(length).unwrap_or(usize::MAX))?;
        std::str::from_utf8(bytes).map_err(|e| format!("text is not UTF-8: {e}"))
    }

    fn line(&mut self) -> Result<&'p str, String> {
        let length = self.rest.iter().position(|byte| *byte == b'\n').ok_or("the pickle ends inside a name")?;
        let line = self.text(length as u64)?;
        self.take::<1>()?;
        Ok(line)
    }
}

fn global<'p>(module: &str, name: &str) -> Result<Value<'p>, String> {
    let callable = Callable::named(module, name);
    callable.map(Value::Callable).ok_or_else(|| format!("`{module}.{name}` is none of the names a state dict needs"))
}

/// Little-endian two's complement of up to eight bytes.
fn long(bytes: &[u8]) -> Result<i64, String> {
    if bytes.len() > 8 {
        return Err(format!("got an integer of {} bytes, at most 8 makes sense", bytes.len()));
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Ok(i64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every opcode of the machine, for random programs that get further than random bytes.
    const OPCODES: &[u8] = b"\x80\x95(0qr\x94hjc\x93RQb)t\x85\x86\x87]ae}suN\x88\x89KMJ\x8aGX\x8c\x8d.";

    fn refusal(pickle: &[u8]) -> String {
        read(pickle).unwrap_err()
    }

    #[test]
    fn a_name_outside_the_list_is_refused_by_name() {
        assert_eq!(
            refusal(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."),
            "byte 2 of the pickle: `os.system` is none of the names a state dict needs"
        );
        assert_eq!(
            refusal(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."),
            "byte 18 of the pickle: `builtins.eval` is none of the names a state dict needs"
        );
    }

    #[test]
    fn an_opcode_that_builds_other_objects_is_refused() {
        // INST of protocol 0, which names a class and calls it.
        assert_eq!(refusal(b"(ios\nsystem\n."), "byte 1 of the pickle: opcode 0x69 is none that a state dict needs");
    }

    #[test]
    fn a_pickle_that_ends_early_or_takes_what_is_not_there_is_refused() {
        let cases: [(&[u8], &str); 12] = [
            (b"", "byte 0 of the pickle: the pickle ends here"),
            (b"J\x01\x02", "byte 0 of the pickle: the pickle ends here"),
            (b"X\xff\xff\xff\xffab", "byte 0 of the pickle: the pickle ends inside a value"),
            (b"cos", "byte 0 of the pickle: the pickle ends inside a name"),
            (b".", "byte 0 of the pickle: the stack is empty"),
            (b"N(0", "byte 2 of the pickle: the stack is empty"),
            (b"N(\x85", "byte 2 of the pickle: the stack is empty"),
            (b"Nt", "byte 1 of the pickle: no mark is set"),
            (b"h\x03", "byte 0 of the pickle: memo 3 is empty"),
            (b"}(Nu", "byte 3 of the pickle: got a key without a value"),
            (b"NK\x01a", "byte 3 of the pickle: got items for None, wanted a list"),
            (b"\x8a\x09", "byte 0 of the pickle: the pickle ends inside a value"),
        ];
        for (pickle, reason) in cases {
            assert_eq!(refusal(pickle), reason);
        }
    }

    #[test]
    fn integers_of_every_length_keep_their_sign() {
        let cases: [(&[u8], i64); 6] = [
            (b"K\xfe.", 254),
            (b"M\xfe\xff.", 65534),
            (b"J\xfe\xff\xff\xff.", -2),
            (b"\x8a\x00.", 0),
            (b"\x8a\x03\x00\x00\x80.", -8_388_608),
            (b"\x8a\x05\x00\x00\x00\x00\x01.", 4_294_967_296),
        ];
        for (pickle, wanted) in cases {
            assert!(matches!(read(pickle).unwrap().root(), Value::Int(got) if *got == wanted), "{wanted}");
        }
    }

    #[test]
    fn nesting_costs_no_stack() {
        let mut pickle = vec![b')'];
        pickle.resize(MAX_PICKLE - 1, 0x85);
        pickle.push(b'.');
        assert!(matches!(read(&pickle).unwrap().root(), Value::Tuple(_)));
    }

    #[test]
    fn a_pickle_longer_than_any_state_dict_is_refused() {
        assert_eq!(refusal(&vec![b'N'; MAX_PICKLE + 1]), "the pickle has 4194305 bytes, at most 4194304 makes sense");
    }

    #[test]
    fn a_tensor_of_too_many_axes_is_refused() {
        let mut pickle = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n".to_vec();
        pickle.extend_from_slice(b"X\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0");
        for _ in 0..2 {
            pickle.extend_from_slice(b"(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t");
        }
        pickle.extend_from_slice(b"tR.");
        let at = pickle.len() - 2;
        assert_eq!(refusal(&pickle), format!("byte {at} of the pickle: got a tensor of 9 axes, at most 8 makes sense"));
    }

    #[test]
    fn a_call_with_more_arguments_than_any_of_ours_is_refused() {
        // Else a long tuple that is called again and again costs its length each time.
        assert_eq!(
            refusal(b"ccollections\nOrderedDict\n(NNNNNNNNNtR."),
            "byte 36 of the pickle: got a tuple of 9, at most 8 makes sense"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_program_is_a_value_or_an_error(
            program in proptest::collection::vec((proptest::sample::select(OPCODES), any::<[u8; 2]>()), 0..60)
        ) {
            let bytes: Vec<u8> = program.iter().flat_map(|(opcode, [a, _])| [*opcode, *a & 3]).collect();
            let _ = read(&bytes);
            let bytes: Vec<u8> = program.iter().map(|(opcode, _)| *opcode).collect();
            let _ = read(&bytes);
        }
    }
}
